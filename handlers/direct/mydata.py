"""`!mydata`: what this server holds about a person, as far as the admin API tells, as an encrypted file."""

from __future__ import annotations

import json
from typing import Any

from handlers.context import Context, DirectCommand
from handlers.direct.rules import alone_together
from handlers.recheck import offered_to
from handlers.upload import upload, uri_of
from removal.audit_action import AuditAction
from removal.ids import matches_any
from removal.incoming import Incoming
from removal.protection import Refusal
from storage import conversations, uploads
from texts import Template

DAY_MS = 86_400_000
ASKED_FOR_MS = 600_000
"""How long the person may take to type their Matrix ID."""


async def ask(context: Context, asked: DirectCommand) -> None:
    """Asks for the Matrix ID first: whoever finds an open session shouldn't get everything at once."""
    async with context.units.begin(asked.event) as unit:
        if not matches_any(asked.by, offered_to(context)):
            await unit.messages.reply(
                asked.event,
                Template.REFUSAL,
                refusal=Refusal.NOT_ALLOWED,
                user=asked.by,
                server=context.server_name,
                similar=[],
            )
            return
        if not asked.encrypted:
            await unit.messages.reply(asked.event, Template.MYDATA, what="not_encrypted")
            return
        last = await uploads.last_for(unit.tx, asked.by)
        if last is not None and unit.now - last < DAY_MS:
            await unit.messages.reply(asked.event, Template.MYDATA, what="once_a_day")
            return
        await conversations.ask_for_data(unit.tx, asked.event.room_id, unit.now)
        await unit.messages.reply(asked.event, Template.MYDATA, what="type_matrix_id")


async def confirmed(context: Context, event: Incoming, matrix_id: str, *, almost: bool, encrypted: bool) -> bool:
    """The Matrix ID was typed. False where nobody asked for it.

    Args:
        almost: what was typed comes near the person's own.

    Raises:
        HomeserverError: something couldn't be read or uploaded; nothing was sent.
    """
    async with context.units.begin() as unit:
        asked_ts = await conversations.data_asked_ts(unit.tx, event.room_id)
        if asked_ts is None or unit.now - asked_ts > ASKED_FOR_MS or not encrypted:
            return False
        if matrix_id != event.sender:
            if almost:
                await unit.messages.reply(event, Template.ALMOST_MATRIX_ID, user=event.sender)
            else:
                await unit.messages.reply(event, Template.MYDATA, what="wrong_matrix_id")
            await unit.done(event)
            return True
    data = json.dumps(await collect(context, event.sender), indent=2, ensure_ascii=False).encode()
    content = await upload(context, event.sender, data, "my-data.json", "application/json", encrypted=True)
    alone = alone_together(await context.authority.room(event.room_id), context.bot_id, event.sender)
    async with context.units.begin(event) as unit:
        await conversations.ask_for_data(unit.tx, event.room_id, None)
        # Somebody may have come while all this was collected: then nobody gets it.
        await uploads.sent(unit.tx, uri_of(content), unit.now, unit.now + (DAY_MS if alone else 0))
        if not alone:
            return True
        await unit.messages.reply_file(event, content)
        await unit.messages.post(
            event.room_id, Template.MYDATA, event.event_id, about=event, mention=event.sender, what="sent"
        )
        await unit.audit(AuditAction.DATA_SENT, actor=event.sender, target=event.sender, bytes=len(data))
    return True


async def collect(context: Context, user_id: str) -> dict[str, Any]:
    """Everything that the admin API tells of an account, as JSON. Raises: HomeserverError."""
    accounts = context.accounts
    account_data = await accounts.account_data(user_id)
    user = await accounts.user(user_id)
    return {
        "user_id": user_id,
        "account": None
        if user is None
        else {
            "created_ts": user.creation_ts,
            "last_seen_ts": user.last_seen_ts,
            "user_type": user.user_type,
            "single_sign_on": list(user.external_ids),
        },
        "profile": await accounts.profile(user_id),
        "third_party_ids": [{"medium": t.medium, "address": t.address} for t in await accounts.threepids(user_id)],
        "devices": await accounts.device_records(user_id),
        "rooms": await accounts.memberships(user_id),
        "media": [m.model_dump() for m in await accounts.media(user_id)],
        "account_data": {"global": account_data.everywhere, "rooms": account_data.rooms},
    }
