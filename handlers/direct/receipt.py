"""`!receipt` in a direct message: where the receipt of one's own removal goes by e-mail, if anywhere."""

from __future__ import annotations

from handlers.context import Context, DirectCommand
from handlers.direct.opening import open_request
from removal.addresses import email_address
from storage import people, receipts
from texts import Template


async def by_mail(context: Context, asked: DirectCommand) -> None:
    """Takes an address for it, or forgets the one that was given. The answer never repeats the address."""
    typed = asked.parsed.text("address") or ""
    address = email_address(typed)
    async with context.units.begin(asked.event) as unit:
        request = await open_request(unit.tx, asked.by)
        if not context.settings.receipt.smtp.given:
            what = "switched_off"
        elif request is None:
            what = "no_request"
        elif not typed:
            await receipts.forget(unit.tx, request.id)
            what = "forgotten"
        elif address is None:
            what = "no_address"
        else:
            language = await people.language_of(unit.tx, asked.by) or context.settings.language
            await receipts.want(unit.tx, request.id, address, language)
            what = "kept"
        await unit.messages.reply(asked.event, Template.OWN_RECEIPT, what=what)
