"""The model of the homeserver: what happens to rooms and accounts, by whomever it is asked.

Time passes in it by itself: rooms of deactivated accounts are left one after the other, redactions take a while. Both
go on after a restart, as Synapse's do.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from simulation.model.state import Account, Event, File, Json, Refused, Room, Task

SUSPENDED = ("M_USER_SUSPENDED", "Sending messages while account is suspended is not allowed.")


class Server:
    """
    Args:
        name: the part after the colon in its Matrix IDs.
        clock: its own; milliseconds since 1970.
        chance: how long what it does in the background takes.
    """

    def __init__(self, name: str, clock: Callable[[], int], chance: random.Random) -> None:
        self.name = name
        self.clock = clock
        self.accounts: dict[str, Account] = {}
        self.tokens: dict[str, str] = {}
        self.rooms: dict[str, Room] = {}
        self.aliases: dict[str, str] = {}
        self.tasks: list[Task] = []
        self.position = 0
        self.news = asyncio.Event()
        """Set, and replaced, whenever an event comes."""
        self.seen: list[Callable[[Event], None]] = []
        """Called for each event."""
        self._chance = chance
        self._transactions: dict[tuple[str, str, str], str] = {}
        self._number = 0
        self._background: set[asyncio.Task[None]] = set()

    # --- accounts ---

    def new_id(self, kind: str) -> str:
        self._number += 1
        return f"{kind}{self._number}"

    def register(self, localpart: str, *, admin: bool = False) -> Account:
        """Makes an account with one device; its access token is `token of` and its Matrix ID."""
        user_id = f"@{localpart}:{self.name}"
        account = Account(user_id, self.clock(), localpart, admin, devices=[self.new_id("DEVICE")])
        self.accounts[user_id] = account
        self.tokens[f"token of {user_id}"] = user_id
        return account

    def local(self, user_id: str) -> Account:
        """The account. Raises: Refused: of another server (400), or unknown (404)."""
        if not user_id.startswith("@") or not user_id.endswith(f":{self.name}"):
            raise Refused(400, "M_UNKNOWN", "Can only look up local users")
        account = self.accounts.get(user_id)
        if account is None:
            raise Refused(404, "M_NOT_FOUND", "User not found")
        return account

    def in_directory_for(self, user_id: str, account: Account) -> bool:
        """Whether the user directory shows this account to somebody: they share a room, or it is in a public one."""
        rooms = [self.rooms[room_id] for room_id in self.joined_rooms(account.user_id)]
        seen = any(self._public(room) or room.membership(user_id) == "join" for room in rooms)
        return seen and not account.deactivated

    def joined_rooms(self, user_id: str) -> list[str]:
        return [room.room_id for room in self.rooms.values() if room.membership(user_id) == "join"]

    # --- rooms ---

    def room(self, room_id: str) -> Room:
        room = self.rooms.get(room_id)
        if room is None:
            raise Refused(404, "M_NOT_FOUND", "Room not found")
        return room

    def joined(self, user_id: str, room_id: str) -> Room:
        """The room. Raises: Refused: this user isn't in it."""
        room = self.rooms.get(room_id)
        if room is None or room.membership(user_id) != "join":
            raise Refused(403, "M_FORBIDDEN", f"User {user_id} not in room {room_id}")
        return room

    def create_room(
        self, creator: str, *, version: str = "11", name: str = "", invite: list[str] | None = None,
        direct: bool = False, public: bool = False, initial_state: list[Json] | None = None,
        power_levels: Json | None = None,
    ) -> Room:  # fmt: skip
        """Makes a room in which the creator is joined and everybody named is invited."""
        self._may_act(creator)
        room_id = f"!{self.new_id('room')}" + ("" if int(version) >= 12 else f":{self.name}")
        room = self.rooms[room_id] = Room(room_id, version)
        own = {} if int(version) >= 12 else {creator: 100}
        levels = {"users": own, "users_default": 0, "state_default": 50, "events_default": 0, **(power_levels or {})}
        self.add(room, creator, "m.room.create", {"room_version": version}, state_key="")
        self.add(room, creator, "m.room.member", {"membership": "join"}, state_key=creator)
        self.add(room, creator, "m.room.power_levels", levels, state_key="")
        self.add(room, creator, "m.room.join_rules", {"join_rule": "public" if public else "invite"}, state_key="")
        self.add(room, creator, "m.room.history_visibility", {"history_visibility": "shared"}, state_key="")
        for event in initial_state or []:
            self.add(room, creator, event["type"], event["content"], state_key=event.get("state_key", ""))
        if name:
            self.add(room, creator, "m.room.name", {"name": name}, state_key="")
        for user_id in invite or []:
            content = {"membership": "invite", **({"is_direct": True} if direct else {})}
            self.add(room, creator, "m.room.member", content, state_key=user_id)
        return room

    def add(
        self, room: Room, sender: str, event_type: str, content: Json, *,
        state_key: str | None = None, redacts: str | None = None, txn_id: str = "",
    ) -> Event:  # fmt: skip
        """An event comes, whoever may have sent it."""
        self.position += 1
        event = Event(
            self.position, f"${self.new_id('event')}", room.room_id, sender, event_type, content, self.clock(),
            state_key, redacts, txn_id=txn_id,
        )  # fmt: skip
        if state_key is not None:
            before = room.state.get((event_type, state_key))
            event.prev_content = before.content if before else None
            event.replaces_state = before.event_id if before else None
            room.state[event_type, state_key] = event
            if event_type == "m.room.member":
                if event.membership in ("leave", "ban"):
                    room.left[state_key] = dict(room.state)
                else:
                    room.left.pop(state_key, None)
                    room.forgotten.discard(state_key)
        room.timeline.append(event)
        for tell in self.seen:
            tell(event)
        self.news.set()
        self.news = asyncio.Event()
        return event

    # --- what people and the bot do there ---

    def send(self, user_id: str, room_id: str, event_type: str, content: Json, txn_id: str) -> str:
        """Sends a message or a reaction; the same txn_id again gives the same event."""
        key = (user_id, room_id, f"{event_type} {txn_id}")
        if key in self._transactions:
            return self._transactions[key]
        room = self.joined(user_id, room_id)
        self._may_speak(user_id)
        relation = content.get("m.relates_to", {})
        if event_type == "m.reaction":
            same = [e for e in room.timeline if e.sender == user_id and e.annotates(relation["event_id"])]
            if any(e.content["m.relates_to"]["key"] == relation["key"] for e in same):
                raise Refused(400, "M_DUPLICATE_ANNOTATION", "Can't send same reaction twice")
        event_id = self.add(room, user_id, event_type, content, txn_id=txn_id).event_id
        self._transactions[key] = event_id
        return event_id

    def redact(self, user_id: str, room_id: str, event_id: str) -> str:
        """Takes back an event."""
        room = self.joined(user_id, room_id)
        self._may_speak(user_id)
        return self._redact(room, user_id, event_id)

    def _redact(self, room: Room, user_id: str, event_id: str) -> str:
        event = room.event(event_id)
        if event is not None and not event.redacted:
            kept = {"membership": event.membership} if event.type == "m.room.member" else {}
            event.redacted, event.content = True, kept
        return self.add(room, user_id, "m.room.redaction", {"redacts": event_id}, redacts=event_id).event_id

    def _may_act(self, user_id: str) -> None:
        account = self.accounts.get(user_id)
        if account is not None and account.deactivated:
            raise Refused(401, "M_UNKNOWN_TOKEN", "Invalid access token passed.")

    def _may_speak(self, user_id: str) -> None:
        self._may_act(user_id)
        account = self.accounts.get(user_id)
        if account is not None and account.suspended:
            raise Refused(403, *SUSPENDED)

    def set_state(self, user_id: str, room_id: str, event_type: str, content: Json, state_key: str = "") -> str:
        room = self.joined(user_id, room_id)
        if room.power(user_id) < room.content("m.room.power_levels").get("state_default", 50):
            raise Refused(403, "M_FORBIDDEN", "You don't have permission to post that to the room")
        return self.add(room, user_id, event_type, content, state_key=state_key).event_id

    def invite(self, user_id: str, room_id: str, invitee: str) -> None:
        room = self.joined(user_id, room_id)
        if room.membership(invitee) in ("join", "ban"):
            raise Refused(403, "M_FORBIDDEN", f"{invitee} is already in the room.")
        self.add(room, user_id, "m.room.member", {"membership": "invite"}, state_key=invitee)

    def join(self, user_id: str, room_id: str) -> None:
        """Joins; again does nothing."""
        self._may_act(user_id)
        room = self.rooms.get(room_id)
        membership = room.membership(user_id) if room else "leave"
        if room is None or (membership not in ("invite", "join") and not self._public(room)) or membership == "ban":
            raise Refused(403, "M_FORBIDDEN", "You are not invited to this room.")
        if membership != "join":
            self.add(room, user_id, "m.room.member", {"membership": "join"}, state_key=user_id)

    def _public(self, room: Room) -> bool:
        return bool(room.content("m.room.join_rules").get("join_rule") == "public")

    def leave(self, user_id: str, room_id: str) -> None:
        """Leaves, or declines an invitation; again does nothing."""
        room = self.rooms.get(room_id)
        if room is None or ("m.room.member", user_id) not in room.state:
            raise Refused(403 if room else 404, "M_FORBIDDEN" if room else "M_UNKNOWN", "Not a known room")
        if room.membership(user_id) == "ban":
            raise Refused(403, "M_FORBIDDEN", "You cannot leave a room you are banned from")
        if room.membership(user_id) != "leave":
            self.add(room, user_id, "m.room.member", {"membership": "leave"}, state_key=user_id)

    def kick(self, user_id: str, room_id: str, whom: str) -> None:
        room = self.joined(user_id, room_id)
        if room.power(user_id) < 50 or room.power(whom) >= room.power(user_id):
            raise Refused(403, "M_FORBIDDEN", "You cannot kick user")
        self.add(room, user_id, "m.room.member", {"membership": "leave"}, state_key=whom)

    # --- what it does by itself ---

    def deactivate(self, account: Account, *, erase: bool) -> None:
        """Ends an account; its rooms are left afterwards."""
        account.threepids, account.devices, account.pushers = [], [], 0
        if erase:
            account.erased, account.displayname = True, None
        account.deactivated, account.account_data = True, {}
        self.tokens = {token: user_id for token, user_id in self.tokens.items() if user_id != account.user_id}
        for room in self.rooms.values():
            if room.membership(account.user_id) == "invite":
                self.add(room, account.user_id, "m.room.member", {"membership": "leave"}, state_key=account.user_id)
        self._in_background(self._part(account.user_id))

    async def _part(self, user_id: str) -> None:
        pace = self._chance.choice((0.05, 0.05, 1.0, 20.0))
        for room_id in self.joined_rooms(user_id):
            await asyncio.sleep(self._chance.random() * pace)
            if self.rooms[room_id].membership(user_id) == "join":
                content = {"membership": "leave"}
                self.add(self.rooms[room_id], user_id, "m.room.member", content, state_key=user_id)

    def start_redaction(self, account: Account, rooms: list[str]) -> str:
        """Redacts what an account said; returns the task's id."""
        busy = [t for t in self.tasks if t.resource_id == account.user_id and t.status in ("scheduled", "active")]
        if any(t.action == "redact_all_events" for t in busy):
            raise Refused(400, "M_UNKNOWN", f"Redact already in progress for user {account.user_id}")
        task = Task(self.new_id("task"), "redact_all_events", account.user_id, self.clock(), rooms=rooms)
        self.tasks.append(task)
        self._in_background(self._redact_all(task))
        return task.task_id

    async def _redact_all(self, task: Task) -> None:
        await asyncio.sleep(self._chance.random() * 2)
        task.status, task.ts = "active", self.clock()
        pace = self._chance.choice((0.01, 0.05, 3.0))
        for room_id in task.rooms:
            room = self.rooms[room_id]
            for event in [e for e in room.timeline if e.sender == task.resource_id and _is_redacted_too(e)]:
                await asyncio.sleep(self._chance.random() * pace)
                if self.accounts[task.resource_id].suspended and int(room.version) < 11:
                    task.failed[event.event_id] = "'redacts'"
                elif not event.redacted:
                    self._redact(room, task.resource_id, event.event_id)
        task.status, task.ts = "complete", self.clock()

    def _in_background(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def make_room_admin(self, room_id: str, user_id: str) -> None:
        """Gives a user the power of the room's most powerful local member."""
        room = self.room(room_id)
        local = [u for u in room.with_membership("join") if u in self.accounts and room.power(u) > 0]
        if not local:
            raise Refused(400, "M_UNKNOWN", "No local admin user in room")
        by = max(local, key=room.power)
        self._may_speak(by)
        if room.membership(user_id) != "join":
            self.invite(by, room_id, user_id)
        levels = room.content("m.room.power_levels")
        users = {**levels.get("users", {}), user_id: int(min(room.power(by), 100))}
        self.add(room, by, "m.room.power_levels", {**levels, "users": users}, state_key="")

    def upload(self, user_id: str) -> File:
        file = File(self.new_id("media"), self.clock())
        self.accounts[user_id].files.append(file)
        return file

    def reactions(self, room: Room, event_id: str) -> list[Event]:
        """What stands under an event now, newest first."""
        return [event for event in reversed(room.timeline) if event.annotates(event_id)]


def _is_redacted_too(event: Event) -> bool:
    """Whether the redaction of an account's messages takes this event."""
    joined = event.type == "m.room.member" and event.membership == "join"
    return joined or event.type in ("m.room.message", "m.room.encrypted")
