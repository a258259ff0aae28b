"""The audit with a real bot: searched, exported, verified, and nothing in it or in the log that mustn't be there."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any

import aiohttp
import pytest
from nio.crypto.attachments import decrypt_attachment

from homeserver.client.clock import local_ms
from sandbox.scene import Scene
from sandbox.timeline import Seen
from tests.support.admin_room import answer, read_only
from tests.support.removals import Removal, asked, begun, email, furnished, talk, upload
from tests.support.removals import asked as asked_for
from tests.synapse.conftest import settled

MakeScene = Callable[..., Awaitable[Scene]]


async def fetched(stage: Scene, message: Seen) -> bytes:
    """The file that a message shows, decrypted where it came encrypted."""
    sealed = message.content.get("file")
    uri = str(sealed["url"] if sealed else message.content["url"])
    url = f"{stage.homeserver.base_url}/_matrix/client/v1/media/download/{uri.removeprefix('mxc://')}"
    headers = {"Authorization": f"Bearer {stage.moderator.access_token}"}
    async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as response:
        assert response.status == 200
        data = await response.read()
    if sealed is None:
        return data
    assert b"Requested" not in data
    return bytes(decrypt_attachment(data, sealed["key"]["k"], sealed["hashes"]["sha256"], sealed["iv"]))


def rows(stage: Scene) -> list[tuple[Any, ...]]:
    """The audit as the database has it."""
    return read_only(stage.bot.database, "SELECT id, action, actor, target, public, personal, hash FROM audit")


async def test_the_audit_says_who_asked_who_confirmed_and_what_was_done(scene: MakeScene) -> None:
    """`!audit` in all its forms finds what was asked, confirmed (and from what kind of device) and each step's end."""
    stage = await scene()
    other = await stage.add_moderator("moderator")
    spammer, bystander = await stage.account("spammer"), await stage.account("bystander")
    removal = await asked(stage, f"!deactivate {spammer} --erase --reason selling pills")
    await other.react(stage.room, removal.card.event_id, "✅")
    await removal.done()
    await answer(stage, f"!deactivate {bystander} --dry-run")

    by_user = (await answer(stage, f"!audit {spammer}")).body
    assert stage.moderator.user_id in by_user and other.user_id in by_user and "selling pills" in by_user
    assert bystander not in by_user
    by_request = (await answer(stage, f"!audit --request {removal.reference}")).body
    assert "deactivate" in by_request and bystander not in by_request
    assert bystander in (await answer(stage, "!audit --since 1h")).body
    assert bystander in (await answer(stage, f"!audit {stage.moderator.user_id} --since 1h")).body
    assert "no matching rows" in (await answer(stage, f"!audit {await stage.account('stranger')}")).body

    found = rows(stage)
    confirmed = [row for row in found if row[1] == "Confirmed"]
    assert [row[2] for row in confirmed] == [other.user_id]
    assert "trust" in json.loads(confirmed[0][4])
    done = [json.loads(row[4])["step"] for row in found if row[1] == "StepDone"]
    assert done == [step["step"] for step in removal.stored["steps"]]


async def test_the_audit_is_for_moderators_in_the_admin_room(scene: MakeScene) -> None:
    """Somebody without the right, and somebody in another room, get no rows."""
    stage = await scene()
    member = await stage.add_moderator("member", level=0)
    refused = await answer(stage, "!audit", by=member)
    assert "only moderators" in refused.body
    direct = await member.dm(stage.bot_id)
    greeting = await member.wait_for(lambda e: e.room_id == direct and e.sender == stage.bot_id and bool(e.body))
    said = await member.say(direct, "!audit --export jsonl")
    reply = await member.wait_for(
        lambda e: (
            e.room_id == direct
            and e.sender == stage.bot_id
            and e.type == "m.room.message"
            and e.event_id != greeting.event_id
            and e.replies_to == said
        )
    )
    assert "file" not in reply.content and "Requested" not in reply.body


@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])
async def test_an_export_in_the_room_holds_the_rows(scene: MakeScene, encrypted: bool) -> None:
    """`--export jsonl` and `csv` send a file, encrypted where the room is, that holds exactly the audit's rows; that
    it was exported is in the audit."""
    stage = await scene(encrypted=encrypted)
    await (await begun(stage, f"!deactivate {await stage.account('spammer')} --reason =HYPERLINK(1)")).done()
    before = rows(stage)
    message = await answer(stage, "!audit --export jsonl")
    assert message.content["msgtype"] == "m.file" and ("file" in message.content) is encrypted
    lines = [json.loads(line) for line in (await fetched(stage, message)).splitlines()]
    assert [(line["id"], line["action"], line["actor"], line["target"], line["hash"]) for line in lines] == [
        (row[0], row[1], row[2], row[3], row[6]) for row in before
    ]
    before = rows(stage)
    message = await answer(stage, "!audit --export csv")
    table = list(csv.DictReader(io.StringIO((await fetched(stage, message)).decode())))
    assert [int(line["id"]) for line in table] == [row[0] for row in before]
    cells = [cell for line in table for cell in line.values()]
    assert not any(cell.startswith(("=", "+", "@")) for cell in cells)  # what a spreadsheet would calculate
    assert [row[1] for row in rows(stage)].count("AuditExported") == 2
    assert "isn't a format" in (await answer(stage, "!audit --export xml")).body


@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])
async def test_a_receipt_is_a_text_and_a_file(scene: MakeScene, encrypted: bool) -> None:
    """`!receipt R1` shows what was asked, confirmed, done, checked and what stays, and sends it as a file, encrypted
    where the room is, with the audit's rows; of a request that isn't done it says so; an unknown one gets an answer."""
    stage = await scene(encrypted=encrypted)
    removal = await begun(stage, f"!deactivate {await stage.account('spammer')} --erase --reason spam wave")
    await removal.done()
    asked = await stage.moderator.say(stage.room, "!receipt R1")
    shown = await stage.moderator.reply_to(asked, containing="Receipt R1")
    file = await stage.moderator.reply_to(asked, containing="receipt-R1.txt")
    assert file.content["msgtype"] == "m.file" and ("file" in file.content) is encrypted
    data = (await fetched(stage, file)).decode()
    target, moderator = removal.stored["target_id"], stage.moderator.user_id
    for text in (shown.body, data):
        for part in (target, f"Asked by {moderator}", f"Confirmed by {moderator}", "Reason: spam wave", "What stays:"):
            assert part in text
        assert "deactivated and erased" in text and "✓ in no room" in text and "✗" not in text
        assert "not done" not in text
    assert "confirmed by" in data and "From the audit:" in data and "From the audit:" not in shown.body
    head = rows(stage)[-2][6]  # the last but one: that the receipt was asked for comes after it
    assert f"--head {head}" in data and f"--head {head}" in shown.body
    other = await asked_for(stage, f"!deactivate {await stage.account('bystander')}")
    assert "This removal is not done. Its state: waiting for ✅" in await other.command("receipt", "Receipt R2")
    assert "I know no request R9" in (await answer(stage, "!receipt R9")).body


async def finished(stage: Scene) -> tuple[Removal, str]:
    """A removal that is done, and the head of the audit that its receipt shows."""
    removal = await begun(stage, f"!deactivate {await stage.account('spammer')}")
    receipt = await removal.done()
    return removal, receipt.rpartition("Audit: ")[2].split()[0]


@pytest.mark.slow
async def test_the_command_line_exports_and_verifies_beside_the_running_bot(scene: MakeScene) -> None:
    """`bot.py audit export` gives every row in both forms; `verify` follows the chain with and without a head, and
    says what it can't tell without one."""
    stage = await scene()
    _, head = await finished(stage)
    code, text = await stage.bot.command("audit", "export")
    exported = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert code == 0 and len(exported) == len(rows(stage))
    assert head in [line["hash"] for line in exported]
    code, text = await stage.bot.command("audit", "export", "--format", "csv")
    assert code == 0 and text.count("StepDone") >= 7
    code, text = await stage.bot.command("audit", "verify")
    assert code == 0 and "Without a head from elsewhere" in text
    code, text = await stage.bot.command("audit", "verify", "--head", head)
    assert code == 0 and "contains the head" in text
    code, text = await stage.bot.command("audit", "verify", "--head", "0" * 63 + "1")
    assert code == 1 and "doesn't contain the head" in text


TAMPERINGS = {
    "another confirmer": "UPDATE audit SET actor = '@nobody:lethe.test' WHERE action = 'Confirmed'",
    "another outcome": "UPDATE audit SET public = replace(public, 'deactivate', 'suspend') WHERE id = "
    "(SELECT max(id) FROM audit WHERE public LIKE '%deactivate%')",
    "another time": "UPDATE audit SET ts = ts + 1 WHERE action = 'Requested'",
    "a row less": "DELETE FROM audit WHERE action = 'Confirmed'",
    "another reason": "UPDATE audit SET personal = replace(personal, 'pills', 'books')",
}


@pytest.mark.slow
async def test_tampering_is_found(scene: MakeScene) -> None:
    """Whoever alters a row, or takes one out, breaks the chain, and `verify` names the place."""
    stage = await scene()
    await (await begun(stage, f"!deactivate {await stage.account('spammer')} --reason pills")).done()
    await stage.bot.stop()
    honest = stage.bot.database.read_bytes()
    for how, statement in TAMPERINGS.items():
        with closing(sqlite3.connect(stage.bot.database)) as database:
            assert database.execute(statement).rowcount >= 1, how
            database.commit()
        code, text = await stage.bot.command("audit", "verify")
        assert code == 1 and "broken at row" in text, how
        stage.bot.database.write_bytes(honest)
        assert (await stage.bot.command("audit", "verify"))[0] == 0


async def test_a_cut_off_end_is_found_with_a_head(scene: MakeScene) -> None:
    """Rows cut off at the end can't be seen from the chain alone; the head in a receipt shows it."""
    stage = await scene()
    _, head = await finished(stage)
    await stage.bot.stop()
    with closing(sqlite3.connect(stage.bot.database)) as database:
        database.execute("DELETE FROM audit WHERE id > 3")
        database.commit()
    assert (await stage.bot.command("audit", "verify"))[0] == 0
    code, text = await stage.bot.command("audit", "verify", "--head", head)
    assert code == 1 and "cut off" in text


async def test_retention_drops_names_and_the_chain_still_holds(scene: MakeScene) -> None:
    """Rows older than the setting lose who and why at the next start, what was done stays, and the chain holds."""
    stage = await scene(audit={"retention": "1s"})
    removal, head = await finished(stage)
    target = removal.stored["target_id"]
    assert target in str(rows(stage))
    await stage.bot.stop()
    newest = read_only(stage.bot.database, "SELECT max(ts) FROM audit")[0][0]

    async def older() -> bool:
        return local_ms() > int(newest) + 1100

    await settled(older)
    await stage.bot.start()

    async def dropped() -> bool:
        return target not in str(rows(stage))

    await settled(dropped)
    assert "names deleted by retention" in (await answer(stage, f"!audit --request {removal.reference}")).body
    assert (await stage.bot.command("audit", "verify", "--head", head))[0] == 0


async def test_no_secret_and_no_strangers_words_anywhere(scene: MakeScene) -> None:
    """After a removal with everything: no third-party address, no message's text, no token, no file's content in the
    bot's database, its log at debug level, the audit or the exported file."""
    stage = await scene()
    spammer, reader = await stage.account("spammer"), await stage.account("reader")
    await furnished(
        stage,
        spammer,
        threepids=[email(spammer)],
        external_ids=[{"auth_provider": "oidc-test", "external_id": "subject-4711"}],
    )
    await upload(stage, stage.tokens[spammer], 2)
    await talk(stage, spammer, "10", messages=3, members=(reader,))
    await stage.moderator.say(stage.room, "Lunch at the usual secret-luncheonette?")
    removal = await begun(stage, f"!deactivate {spammer} --erase --redact --media --forget-sso --reason pills")
    await removal.done()
    await answer(stage, f"!audit {spammer}")
    exported = await fetched(stage, await answer(stage, "!audit --export jsonl"))
    credentials = json.loads((stage.bot.data_dir / "credentials.json").read_text())
    await stage.bot.stop()

    log = stage.bot.log
    with closing(sqlite3.connect(stage.bot.database)) as database:
        dump = "\n".join(database.iterdump())
    assert removal.reference in dump + log and spammer in dump
    assert stage.bot.settings["log"]["level"] == "debug"
    secrets = {
        "address": email(spammer)["address"],
        "single sign-on subject": "subject-4711",
        "message": "spam 1",
        "small talk": "luncheonette",
        "the bot's token": credentials["access_token"],
        "the bot's password": stage.passwords[stage.bot_id],
        "the spammer's token": stage.tokens[spammer],
    }
    for name, secret in secrets.items():
        for place, text in (("log", log), ("database", dump), ("export", exported.decode())):
            assert secret not in text, f"{name} is in the {place}"
