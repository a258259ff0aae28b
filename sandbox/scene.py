"""A homeserver with a bot, a moderator and an admin room: the stage on which tests and the demo play."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import quote

from sandbox.client import Person
from sandbox.homeserver import Homeserver
from sandbox.lethe import Lethe


class Scene:
    """One admin room with one bot. Several scenes may share a homeserver."""

    def __init__(self, homeserver: Homeserver) -> None:
        self.homeserver = homeserver
        self.people: list[Person] = []
        self.passwords: dict[str, str] = {}
        self.tokens: dict[str, str] = {}
        self.moderator: Person
        self.bot: Lethe
        self.bot_id = ""
        self.room = ""

    async def person(self, role: str, *, admin: bool = False) -> Person:
        """A new account of this role, with a client that is logged in and syncs."""
        user_id = await self.account(role, admin=admin)
        person = Person(self.homeserver.base_url, user_id)
        self.people.append(person)
        await person.login(self.passwords[user_id])
        return person

    async def account(self, role: str, *, admin: bool = False) -> str:
        """A new account of this role, without a client; returns its Matrix ID."""
        localpart, password = f"{role}-{secrets.token_hex(3)}", secrets.token_urlsafe(12)
        token = await self.homeserver.register(localpart, password, admin)
        user_id = self.homeserver.user_id(localpart)
        self.passwords[user_id], self.tokens[user_id] = password, token
        return user_id

    async def set_up(self, *, encrypted: bool = True, start: bool = True, stay: bool = False, **settings: Any) -> None:
        """Makes bot, moderator and admin room, and starts the bot; returns once the bot is in the room.

        Args:
            encrypted: the admin room.
            start: whether to start the bot at once.
            stay: the bot goes on when this process ends.
            settings: the bot's, as for `Lethe`.
        """
        self.bot_id = await self.account("lethe", admin=True)
        self.moderator = await self.person("moderator")
        self.room = await self.moderator.create_room(name="Admins", encrypted=encrypted, invite=[self.bot_id])
        self.bot = Lethe(
            self.homeserver.base_url, self.bot_id, self.passwords[self.bot_id], self.room, stay=stay, **settings
        )
        if start:
            await self.bot.start()
            await self.bot_joined()

    async def bot_joined(self) -> None:
        """Waits until the bot is in the admin room."""
        await self.moderator.wait_for(
            lambda e: (
                e.type == "m.room.member"
                and e.room_id == self.room
                and e.state_key == self.bot_id
                and e.content.get("membership") == "join"
            )
        )

    async def add_moderator(self, role: str = "moderator", level: int = 50) -> Person:
        """Another moderator, joined."""
        person = await self.person(role)
        await self.moderator.invite(self.room, person.user_id)
        await person.join(self.room)
        if level:
            await self.moderator.set_power(self.room, person.user_id, level)
        return person

    async def user(self, user_id: str) -> dict[str, Any]:
        """What the homeserver's admin API says of an account: `GET v2/users/{user_id}`."""
        return await self.admin("GET", f"v2/users/{quote(user_id, safe='')}")

    async def admin(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Calls Synapse's admin API (`path` begins behind `/_synapse/admin/`) as the bot may."""
        return await self.homeserver.call(method, f"/_synapse/admin/{path}", token=self.tokens[self.bot_id], **options)

    async def close(self) -> None:
        """Ends the bot and all clients; the homeserver stays."""
        if hasattr(self, "bot"):
            await self.bot.close()
        await self.close_clients()

    async def close_clients(self) -> None:
        """Ends all clients."""
        for person in self.people:
            await person.close()
