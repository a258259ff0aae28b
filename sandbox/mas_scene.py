"""The stage of `sandbox.scene`, on a homeserver whose accounts live in MAS."""

from __future__ import annotations

import secrets
from typing import Any

from sandbox.client import Person
from sandbox.homeserver import Homeserver
from sandbox.mas import Mas
from sandbox.scene import Scene


class MasScene(Scene):
    """One admin room with one bot. Accounts are made in MAS; nobody there has a password."""

    def __init__(self, homeserver: Homeserver, mas: Mas) -> None:
        super().__init__(homeserver)
        self.mas = mas
        self.devices: dict[str, str] = {}

    async def person(self, role: str, *, admin: bool = False) -> Person:
        user_id = await self.account(role, admin=admin)
        person = Person(self.homeserver.base_url, user_id)
        self.people.append(person)
        await person.resume(self.tokens[user_id], self.devices[user_id])
        return person

    async def account(self, role: str, *, admin: bool = False) -> str:
        localpart = f"{role}-{secrets.token_hex(3)}"
        await self.mas.user(localpart, admin=admin)
        user_id = self.homeserver.user_id(localpart)
        self.tokens[user_id], self.devices[user_id] = await self.mas.log_in(localpart, admin=admin)
        self.passwords[user_id] = secrets.token_urlsafe(12)
        await self.mas.set_password(localpart, self.passwords[user_id])
        return user_id

    async def set_up(self, *, encrypted: bool = True, start: bool = True, stay: bool = False, **settings: Any) -> None:
        await super().set_up(encrypted=encrypted, start=False, stay=stay, **settings)
        home = {
            "password": None,
            "access_token": self.tokens[self.bot_id],
            "device_id": self.devices[self.bot_id],
            "mas": self.mas.access.settings,
        }
        self.bot.configure(homeserver={**home, **settings.get("homeserver", {})})
        if start:
            await self.bot.start()
            await self.bot_joined()

    async def in_mas(self, user_id: str) -> dict[str, Any]:
        """What MAS itself says of an account, its active sessions among it."""
        localpart = user_id[1:].partition(":")[0]
        return {**await self.mas.state(localpart), "sessions": await self.mas.active(localpart)}

    async def furnish(self, user_id: str) -> None:
        """Gives an account all that MAS can know of one."""
        localpart = user_id[1:].partition(":")[0]
        await self.mas.furnish(localpart, f"{localpart}@example.org")
