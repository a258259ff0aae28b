"""The receipt by e-mail, by a real mail server: sent once the outcome is known, tried again, and forgotten."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from engine.mail import MailError, MailServer, Tls, try_out
from engine.messages import CurrentAdminRoom
from engine.receipt_mail import FIRST_PAUSE_MS, GIVE_UP_MS, ReceiptMail
from engine.unit_of_work import UnitsOfWork
from removal.request import Request, State
from storage import receipts, requests
from storage.database import Database
from tests.support.made_requests import NOW, own
from tests.support.mail_server import FROM, Mailbox, mail_server
from texts import Texts

ADDRESS = "leaver@elsewhere.example"


class Book:
    """A database in which somebody wants a receipt."""

    def __init__(self, database: Database) -> None:
        self.now = NOW
        self.database = database
        self.units = UnitsOfWork(database, Texts(), lambda: self.now, CurrentAdminRoom("!admins:example.org"))

    async def wanted(self, language: str = "en", **ended: object) -> Request:
        """A request whose person gave an address."""
        values = {"state": State.DONE, "started_ts": NOW, "ended_ts": NOW}
        async with self.units.begin() as unit:
            request = replace(own(), id=0, version=0, **{**values, **ended})  # type: ignore[arg-type]
            request = await requests.add(unit.tx, request)
            await receipts.want(unit.tx, request.id, ADDRESS, language)
        return request

    async def kept(self) -> int:
        """How many addresses there are."""
        async with self.database.transaction() as tx:
            row = await tx.one("SELECT count(*) AS n FROM receipts")
        assert row is not None
        return int(row["n"])

    async def look(self, server: MailServer | None) -> None:
        """One look of a bot that was just started."""
        await ReceiptMail(self.units, server)._look()


@pytest_asyncio.fixture
async def book(tmp_path: Path) -> AsyncIterator[Book]:
    """An empty database."""
    database = Database(tmp_path / "lethe.db")
    await database.open()
    yield Book(database)
    await database.close()


@pytest.mark.parametrize("tls", [Tls.STARTTLS, Tls.TLS])
async def test_it_is_sent_once_and_the_address_is_forgotten(
    book: Book, tmp_path: Path, tls: Tls, caplog: pytest.LogCaptureFixture
) -> None:
    """With TLS, in the person's language; no address stays in the database's files, and none is in the log."""
    caplog.set_level(logging.DEBUG)
    async with mail_server(tmp_path, tls) as box:
        request = await book.wanted("de")
        await book.look(box.server)
        await book.look(box.server)
    (mail,) = box.mails
    assert box.recipients == [ADDRESS] and box.encrypted == [True]
    assert mail["From"].addresses[0].addr_spec == FROM
    assert request.reference in mail["Subject"] and "Beleg" in mail["Subject"]
    assert mail["Auto-Submitted"] == "auto-generated" and mail["Message-ID"].startswith(f"<{request.reference}.")
    plain = mail.get_body(("plain",))
    assert plain is not None and "ist gelöscht" in plain.get_content()
    assert await book.kept() == 0
    # The other side's log, and the database's own, which the bot leaves at warning (cli/log.py).
    ours = [record.getMessage() for record in caplog.records if record.name not in ("mail.log", "aiosqlite")]
    assert ADDRESS not in "\n".join(ours)
    await book.database.close()
    held = [file for file in tmp_path.glob("lethe.db*") if ADDRESS.encode() in file.read_bytes()]  # noqa: ASYNC240
    assert held == []


async def test_nothing_is_sent_before_the_outcome(book: Book, tmp_path: Path) -> None:
    """Nor where the person still has their account and reads it there: then the address is forgotten only."""
    async with mail_server(tmp_path) as box:
        await book.wanted(state=State.SCHEDULED, ended_ts=None, started_ts=None, due_ts=NOW)
        await book.look(box.server)
        assert await book.kept() == 1
        await book.wanted(state=State.CANCELLED)
        await book.look(box.server)
        assert await book.kept() == 1
    assert box.mails == []


async def test_it_is_tried_again_over_restarts(book: Book, tmp_path: Path) -> None:
    """Each time after a longer pause, by what the database says."""
    async with mail_server(tmp_path) as box:
        await book.wanted()
        box.answers += ["451 later", "451 later"]
        await book.look(box.server)
        await book.look(box.server)  # before the pause is over: not asked
        assert len(box.answers) == 1 and box.mails == []
        book.now += FIRST_PAUSE_MS
        await book.look(box.server)
        book.now += FIRST_PAUSE_MS
        await book.look(box.server)
        assert box.answers == [] and box.mails == [] and await book.kept() == 1
        book.now += FIRST_PAUSE_MS
        await book.look(box.server)
        assert len(box.mails) == 1 and await book.kept() == 0


async def test_it_is_given_up_in_the_end(book: Book, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Three days after the outcome the address is forgotten, whatever the mail server says; so it is at once where the
    address doesn't exist, and where receipts are switched off meanwhile."""
    async with mail_server(tmp_path) as box:
        await book.wanted()
        gone = replace(box.server, port=1)
        looks = 0
        while await book.kept():
            await book.look(gone)
            book.now += 3_600_000
            looks += 1
        assert book.now <= NOW + GIVE_UP_MS + 3_600_000 and looks > 10
        book.now = NOW
        await book.wanted()
        box.answers.append(f"550 no such person: {ADDRESS}")
        await book.look(box.server)
        assert await book.kept() == 0
        await book.wanted(state=State.SCHEDULED)
        await book.look(None)
        assert await book.kept() == 0
    assert box.mails == []
    assert ADDRESS not in caplog.text


async def test_what_is_wrong_with_the_mail_server_is_said(tmp_path: Path) -> None:
    """By `check` and in the log: no TLS, a certificate of nobody known, a wrong password, nobody there."""
    async with mail_server(tmp_path) as box:
        await try_out(box.server)
        with pytest.raises(MailError, match="TLS: "):
            await try_out(replace(box.server, context=None))
        with pytest.raises(MailError, match=r"refuses user and password \(535\)"):
            await try_out(replace(box.server, password="wrong"))
        with pytest.raises(MailError, match="talked to"):
            await try_out(replace(box.server, tls=Tls.TLS))
        with pytest.raises(MailError, match="talked to"):
            await try_out(replace(box.server, port=1))
    async with mail_server(tmp_path, Tls.NONE) as bare:
        with pytest.raises(MailError):  # never in clear text where TLS was asked for
            await try_out(replace(bare.server, tls=Tls.STARTTLS))


def test_secrets_dont_show(tmp_path: Path) -> None:
    """Neither the password nor an address is a part of what is logged by accident."""
    assert "correct-horse" not in repr(Mailbox(MailServer("x", 1, Tls.TLS, FROM, "u", "correct-horse"), tmp_path))
    assert ADDRESS not in repr(receipts.Wanted(1, ADDRESS, "en"))
