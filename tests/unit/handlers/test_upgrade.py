"""An upgraded admin room: prompts in the old one end, or are asked again. On a real database; the homeserver is asked
for nothing here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from engine.messages import CurrentAdminRoom
from engine.unit_of_work import UnitsOfWork
from handlers.admin_room.upgrade import Upgrade
from handlers.admin_room.watch import Watch
from handlers.authority import AdminRoom, Policy
from handlers.context import Context
from homeserver.client.rooms import RoomState
from removal.plan import Kind
from removal.request import Request, State
from storage import requests
from storage.database import Database
from tests.support.made_requests import NOW, in_state
from texts import Texts

BOT, MODERATOR = "@lethe:example.org", "@moderator:example.org"
OLD, NEW = "!old:example.org", "!new:example.org"


class Homeserver:
    """The two rooms, which name each other; the bot may join. Also the watch over the admin room: nothing to see."""

    def __init__(self, admin_room: CurrentAdminRoom) -> None:
        self.admin_room_now = admin_room

    async def admin_room(self) -> AdminRoom:
        contents = {
            "m.room.create": {"room_version": "11"},
            "m.room.tombstone": {"replacement_room": NEW},
            "m.room.power_levels": {"users": {MODERATOR: 100}},
            "m.room.member": {"membership": "join"},
        }
        state = RoomState.from_events(
            {"type": name, "state_key": MODERATOR if "member" in name else "", "sender": MODERATOR, "content": content}
            for name, content in contents.items()
        )
        return AdminRoom(self.admin_room_now.room_id, state, Policy(BOT, 50, (), False, ()))

    async def state_before_joining(self, room_id: str) -> list[dict[str, Any]]:
        assert room_id == NEW
        return [
            {"type": "m.room.create", "state_key": "", "content": {"predecessor": {"room_id": OLD}}},
            {"type": "m.room.member", "state_key": BOT, "sender": MODERATOR, "content": {"membership": "invite"}},
        ]

    async def join(self, room_id: str) -> None:
        assert room_id == NEW

    async def look(self) -> None:
        """The watch's."""


async def test_each_open_request_is_settled_by_its_state(tmp_path: Path) -> None:
    """A moderator's prompt that nobody confirmed ends, said in the new room with how to go on; a person's own removal
    that waits for approval is asked for again there, with ✅ and ❌; everything else goes on as it was, unsaid."""
    database, admin_room = Database(tmp_path / "lethe.db"), CurrentAdminRoom(OLD)
    await database.open()
    units = UnitsOfWork(database, Texts(), lambda: NOW, admin_room)
    home = Homeserver(admin_room)
    before: list[Request] = []
    async with database.transaction() as tx:
        for state in State:
            request = replace(
                in_state(state), id=0, version=0, room_id=OLD if in_state(state).kind is Kind.MODERATION else "!dm"
            )
            before.append(await requests.add(tx, request))
    context = cast(Context, SimpleNamespace(units=units, authority=home, bot_id=BOT))
    assert await Upgrade(context, home, cast(Watch, home)).look()
    assert admin_room.room_id == NEW
    async with database.transaction() as tx:
        rows = await tx.all("SELECT room_id, request_id, purpose, content FROM outbox WHERE request_id IS NOT NULL")
        after = {request.id: await requests.get(tx, request.id) for request in before}
    said = {
        (row["request_id"], row["room_id"]): str(row["content"])
        for row in rows
        if ".edit" not in row["purpose"] and ".reaction" not in row["purpose"]
    }
    for request in before:
        now = after[request.id]
        assert now is not None
        text = said.get((request.id, NEW), "")
        if request.state is State.AWAITING_CONFIRMATION and request.kind is Kind.MODERATION:
            assert now.state is State.CANCELLED and request.target_id in text and "ask again here" in text
        elif request.state is State.AWAITING_APPROVAL:
            purposes = [row["purpose"] for row in rows if row["request_id"] == request.id and row["room_id"] == NEW]
            assert now.state is request.state and "wants to remove their own account" in text
            assert [purpose.rpartition(".reaction.")[2] for purpose in purposes[1:]] == ["✅", "❌"]
        else:
            assert now == request and not any(key[0] == request.id for key in said)
    assert sum(request_id is not None for request_id, _ in said) == 2
    await database.close()
