"""The receipt by e-mail, for people who gave an address for it: they can't read anything else any more.

It is sent once the outcome is known, and tried again for three days where the mail server doesn't take it, over
restarts; then, as after a success, the address is forgotten. A crash right after a success may send it twice, with the
same Message-ID.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

from engine.about import about
from engine.mail import MailError, MailServer, send
from engine.unit_of_work import UnitsOfWork
from removal.request import OPEN, Request, State
from storage import meta, receipts, requests
from storage.database import StorageError
from storage.receipts import Wanted
from texts import Template, plain

log = logging.getLogger(__name__)

LOOK_EVERY = 60.0
"""Seconds between looks."""
FIRST_PAUSE_MS = 60_000
LONGEST_PAUSE_MS = 6 * 3_600_000
GIVE_UP_MS = 3 * 86_400_000
"""After the outcome."""
_TOLD = frozenset({State.DONE, State.CLOSED, State.FAILED})
"""Of what ended otherwise, people read in their client: they still have their account."""


class ReceiptMail:
    """Sends the receipts that people want."""

    def __init__(self, units: UnitsOfWork, server: MailServer | None) -> None:
        """Args: server: None where no e-mail is sent any more: then all addresses are forgotten."""
        self._units = units
        self._server = server

    async def run(self) -> None:
        """Runs until cancelled."""
        seen = -1
        while True:
            try:
                await self._look()
            except StorageError as error:
                log.error("the receipts by e-mail can't be looked at: %s", error)
            seen = await self._units.wait_for_change(seen, LOOK_EVERY, "receipts", "requests")

    async def _look(self) -> None:
        async with self._units.database.transaction(only_reading=True) as tx:
            due = await receipts.due(tx, self._units.clock())
        for wanted in due:
            async with self._units.database.transaction(only_reading=True) as tx:
                request, instance = await requests.get(tx, wanted.request_id), await meta.instance(tx)
            if request is not None and request.state in OPEN and self._server is not None:
                continue
            if request is None or request.state not in _TOLD or self._server is None:
                await self._forget(wanted.request_id)
                continue
            about(request.reference)
            await self._send(self._server, wanted, request, instance)

    async def _send(self, server: MailServer, wanted: Wanted, request: Request, instance: str) -> None:
        now, ended = self._units.clock(), request.ended_ts or 0
        try:
            await send(server, self._written(server, wanted, request, instance))
        except MailError as error:
            pause = min(FIRST_PAUSE_MS * 2 ** min(wanted.tries, 20), LONGEST_PAUSE_MS)
            if error.final or now + pause > ended + GIVE_UP_MS:
                log.warning("%s: no receipt by e-mail: %s; the address is forgotten", request.reference, error)
                await self._forget(wanted.request_id)
            else:
                log.warning("%s: the receipt by e-mail is tried again later: %s", request.reference, error)
                async with self._units.database.transaction() as tx:
                    await receipts.later(tx, wanted, now + pause)
            return
        await self._forget(wanted.request_id)
        log.info("%s: the receipt was sent by e-mail, and the address is forgotten", request.reference)

    async def _forget(self, request_id: int) -> None:
        async with self._units.database.transaction() as tx:
            await receipts.forget(tx, request_id)

    def _written(self, server: MailServer, wanted: Wanted, request: Request, instance: str) -> EmailMessage:
        texts = self._units.texts.speaking(wanted.language)
        host = request.target_id.partition(":")[2]
        text = texts.render(Template.RECEIPT_MAIL, r=request, server=host)
        message = EmailMessage()
        message["From"] = Address("Lethe", addr_spec=server.from_address)
        message["To"] = wanted.address
        message["Subject"] = plain(str(texts.word("mail", "subject", reference=request.reference, server=host)))
        message["Date"] = format_datetime(datetime.fromtimestamp(self._units.clock() / 1000, UTC))
        domain = server.from_address.rpartition("@")[2]
        message["Message-ID"] = f"<{request.reference}.{instance}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday answers it
        message["Content-Language"] = texts.language.replace("_", "-")
        message.set_content(text.body + "\n")
        message.add_alternative(
            f'<html lang="{texts.language}"><body>{text.formatted_body}</body></html>', subtype="html"
        )
        return message
