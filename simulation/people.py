"""Who uses the bot, and who tries to misuse it: what each does next is decided by chance."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from simulation.encryption import seal
from simulation.model.server import Server
from simulation.model.state import Event, Refused, Room

Action = Callable[[], Awaitable[None] | None]
KEYS = ("✅", "✅", "✅", "✅", "✅\ufe0f", "❌", "✔", "👍", "🎉")
CONTROLS = ("⏸", "▶", "⏹")
_OPTIONS = ("--erase", "--redact", "--media", "--quarantine", "--forget-sso", "--dry-run", "--in 30m", "--in 2d")

_WAVE_OPTIONS = ("--erase", "--redact", "--media", "--dry-run", "--in 30m", "--now")


class Person:
    """Somebody with an account. Whatever the homeserver refuses them is no matter."""

    def __init__(self, server: Server, user_id: str, bot_id: str, chance: random.Random) -> None:
        self.server = server
        self.user_id = user_id
        self.bot_id = bot_id
        self.chance = chance
        self._number = 0

    def send(self, room_id: str, event_type: str, content: dict[str, Any]) -> str:
        """Sends an event, encrypted where the room is. Raises: Refused."""
        self._number += 1
        room = self.server.room(room_id)
        if event_type != "m.reaction" and ("m.room.encryption", "") in room.state and self.chance.random() < 0.97:
            event_type, content = "m.room.encrypted", seal(event_type, content)
        return self.server.send(self.user_id, room_id, event_type, content, f"{self.user_id} {self._number}")

    def say(self, room_id: str, body: str, **more: Any) -> str:
        return self.send(room_id, "m.room.message", {"msgtype": "m.text", "body": body, **more})

    def react(self, event: Event, key: str) -> None:
        relation = {"rel_type": "m.annotation", "event_id": event.event_id, "key": key}
        self.send(event.room_id, "m.reaction", {"m.relates_to": relation})

    def take_back(self, room: Room) -> None:
        """Redacts one of their own reactions."""
        own = [e for e in room.timeline if e.type == "m.reaction" and e.sender == self.user_id and not e.redacted]
        if own:
            self.server.redact(self.user_id, room.room_id, self.chance.choice(own).event_id)

    def messages_of_bot(self, room: Room) -> list[Event]:
        kinds = ("m.room.message", "m.room.encrypted")
        found = [e for e in room.timeline if e.sender == self.bot_id and e.type in kinds and not _is_edit(e)]
        return found[-12:]

    async def live(self, pause: float, actions: list[tuple[int, Action]]) -> None:
        """Does one thing after the other, for ever.

        Args:
            pause: seconds in between, at most.
            actions: each with its weight.
        """
        weights = [weight for weight, _ in actions]
        while True:
            await asyncio.sleep(self.chance.random() * pause)
            ((_, action),) = self.chance.choices(actions, weights)
            try:
                done = action()
                if done is not None:
                    await done
            except Refused:
                pass


def _is_edit(event: Event) -> bool:
    return bool(event.content.get("m.relates_to", {}).get("rel_type") == "m.replace")


class InAdminRoom(Person):
    """Somebody in the admin room: a moderator, or somebody who acts like one."""

    def __init__(self, *args: Any, room: Room, targets: list[str]) -> None:
        super().__init__(*args)
        self.room = room
        self.targets = targets

    def run(self, pause: float) -> Awaitable[None]:
        return self.live(
            pause,
            [
                (10, self.deactivate),
                (26, self.answer),
                (4, self.command),
                (2, lambda: self.take_back(self.room)),
                (3, self.wave),
                (4, self.steer_wave),
                (1, self.talk),
                (1, self.change_power),
                (1, self.come_and_go),
            ],
        )

    async def deactivate(self) -> None:
        """Asks for a removal, and mostly confirms it, some seconds later."""
        options = " ".join(self.chance.sample(_OPTIONS, self.chance.choice((0, 0, 1, 2))))
        target = self.chance.choice(self.targets)
        if self.chance.random() < 0.1:
            options += f" --handover {self.chance.choice(self.targets)}"
        self.say(self.room.room_id, f"!deactivate {target} {options}".strip())
        if self.chance.random() < 0.6:
            await asyncio.sleep(self.chance.random() * 8)
            self.answer("✅")

    async def wave(self) -> None:
        """Asks for several removals as one decision: behind the command, or one a line under it."""
        options = " ".join(self.chance.sample(_WAVE_OPTIONS, self.chance.choice((0, 0, 1, 2))))
        users = self.chance.sample(self.targets, self.chance.randint(2, min(4, len(self.targets))))
        if self.chance.random() < 0.2:
            self.say(
                self.room.room_id, f"!deactivate --match {self.chance.choice(('person*', '*1'))} {options}".strip()
            )
        elif self.chance.random() < 0.5:
            self.say(self.room.room_id, f"!deactivate {' '.join(users)} {options}".strip())
        else:
            self.say(self.room.room_id, "\n".join([f"!deactivate {options}".strip(), *users]))
        for _ in range(self.chance.choice((0, 1, 3))):
            await asyncio.sleep(self.chance.random() * 10)
            self.answer("✅")
            if self.chance.random() < 0.3:
                self.say(self.room.room_id, str(len(users)))

    def steer_wave(self) -> None:
        """Whatever can be said to a wave while it is asked about, under way, or over."""
        if self.chance.random() < 0.4:
            self.answer(self.chance.choice(CONTROLS))
            return
        wave = f"B{self.chance.randint(1, 4)}"
        names = ("pause", "resume", "resume", "cancel", "retry", "status", "receipt")
        exclude = f"!exclude {wave} {self.chance.choice(self.targets)}"
        number = f"{self.chance.choice(('', wave + ' '))}{self.chance.randint(1, 4)}"
        said = self.chance.choice((*(f"!{name} {wave}" for name in names), exclude, exclude, number, number, number))
        self.say(self.room.room_id, said)

    def answer(self, key: str | None = None) -> None:
        """Reacts to one of the newest messages of the bot."""
        found = self.messages_of_bot(self.room)
        if found:
            self.react(self.chance.choice(found[-4:]), key or self.chance.choice(KEYS))

    def command(self) -> None:
        name = self.chance.choice(("cancel", "status", "retry", "approve", "refuse"))
        reason = " --reason because" if name in ("refuse", "cancel") and self.chance.random() < 0.8 else ""
        command = self.chance.choice((f"!{name} R{self.chance.randint(1, 9)}{reason}", "!requests", "!audit", "!help"))
        self.say(self.room.room_id, command)

    def talk(self) -> None:
        """Says what is no command: an edit of one, a sentence, nonsense."""
        edit = {"m.new_content": {"msgtype": "m.text", "body": f"!deactivate {self.targets[0]}"}}
        relation = {"m.relates_to": {"rel_type": "m.replace", "event_id": self.room.timeline[-1].event_id}}
        self.say(self.room.room_id, self.chance.choice(("hello", "!deactivate", "!nonsense")))
        self.say(self.room.room_id, "* edited", **edit, **relation)

    def change_power(self) -> None:
        """Gives somebody power, or takes it."""
        levels = self.room.content("m.room.power_levels")
        users = dict(levels["users"])
        users[self.chance.choice(self.room.with_membership("join"))] = self.chance.choice((0, 50, 50))
        users[self.bot_id] = 50
        users[self.room.timeline[0].sender] = 100
        self.server.set_state(self.user_id, self.room.room_id, "m.room.power_levels", {**levels, "users": users})

    async def come_and_go(self) -> None:
        """Leaves for a while."""
        self.server.leave(self.user_id, self.room.room_id)
        await asyncio.sleep(self.chance.random() * 120)
        self.server.invite(self.room.timeline[0].sender, self.room.room_id, self.user_id)
        self.server.join(self.user_id, self.room.room_id)


class Leaver(Person):
    """Somebody who talks with the bot about their own account; a stranger may join in."""

    def __init__(self, *args: Any, stranger: str) -> None:
        super().__init__(*args)
        self.stranger = stranger

    def run(self, pause: float) -> Awaitable[None]:
        return self.live(
            pause,
            [
                (4, self.ask),
                (20, self.answer),
                (5, lambda: self.in_room(self.user_id)),
                (2, lambda: self.in_room(self.chance.choice(("!status", "!cancel", "!mydata", "delete me", "hello")))),
                (1, self.leave),
                (1, self.bring_a_stranger),
            ],
        )

    def rooms(self) -> list[Room]:
        """The direct messages with the bot; an invitation is accepted."""
        both = [r for r in self.server.rooms.values() if r.membership(self.bot_id) in ("join", "invite")]
        for room in both:
            if room.membership(self.user_id) == "invite" and len(room.with_membership("join", "invite")) == 2:
                self.server.join(self.user_id, room.room_id)
        few = [room for room in both if room.membership(self.user_id) == "join"]
        return [room for room in few if len(room.with_membership("join", "invite")) <= 3]

    def ask(self) -> None:
        rooms = self.rooms()
        if rooms:
            options = self.chance.sample(("--erase", "--keep-media", "--redact"), self.chance.choice((0, 1, 2)))
            self.say(rooms[-1].room_id, " ".join(["!deactivate", *options]))
        else:
            state = [{"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}]
            encrypted = state if self.chance.random() < 0.5 else []
            self.server.create_room(self.user_id, invite=[self.bot_id], direct=True, initial_state=encrypted)

    def answer(self) -> None:
        for room in self.rooms():
            found = self.messages_of_bot(room)
            if found:
                self.react(self.chance.choice(found[-3:]), self.chance.choice(KEYS))

    def in_room(self, body: str) -> None:
        for room in self.rooms():
            self.say(room.room_id, body)

    def leave(self) -> None:
        rooms = self.rooms()
        if rooms:
            self.server.leave(self.user_id, self.chance.choice(rooms).room_id)

    def bring_a_stranger(self) -> None:
        rooms = self.rooms()
        if rooms and self.chance.random() < 0.3:
            self.server.invite(self.user_id, rooms[-1].room_id, self.stranger)
            self.server.join(self.stranger, rooms[-1].room_id)
