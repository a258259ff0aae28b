"""Who may do what, read from the homeserver each time it is needed. Nothing is cached."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from config import Settings
from engine.messages import CurrentAdminRoom
from handlers.roles import Roles
from homeserver.accounts.backend import AccountBackend
from homeserver.accounts.facts import facts_of
from homeserver.accounts.sole_admin import sole_admin_rooms
from homeserver.client.rooms import Rooms, RoomState
from removal.facts import Facts
from removal.ids import InvalidUserID, UserID
from removal.plan import Options
from removal.power import MEMBER, POWER_LEVELS
from removal.protection import Refusal, Surroundings, refuse_account, refuse_name

COUNT_SECONDS = 2.0
"""How long a prompt waits for the count of rooms where an account is the only admin."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that authority follows."""

    bot_id: str
    power_level: int
    users: tuple[str, ...]
    allow_remote: bool
    protected: tuple[str, ...]
    other_bots: tuple[str, ...] = ()
    roles: Roles = field(default_factory=Roles)

    @classmethod
    def of(cls, settings: Settings) -> Policy:
        """What the settings say of authority."""
        return cls(
            bot_id=settings.homeserver.user_id,
            power_level=settings.moderators.power_level,
            users=settings.moderators.users,
            allow_remote=settings.moderators.allow_remote,
            protected=settings.protected_users,
            other_bots=settings.shared_admin_room.other_bots,
            roles=Roles.of(settings),
        )

    def named(self, user_id: str) -> bool:
        """Whether the settings name this person, whatever power they have in the admin room."""
        return user_id in self.users or user_id in self.roles.users

    @property
    def server_name(self) -> str:
        return UserID.parse(self.bot_id).server_name

    def is_local(self, user_id: str) -> bool:
        """Whether this is an account of the bot's own homeserver."""
        try:
            return UserID.parse(user_id).server_name == self.server_name
        except InvalidUserID:
            return False


@dataclass(frozen=True, slots=True)
class AdminRoom:
    """The admin room as the homeserver shows it now."""

    room_id: str
    state: RoomState
    policy: Policy

    def is_moderator(self, user_id: str) -> bool:
        """Whether this person may command and confirm at all: joined, and entitled by power or by the settings.

        `may` says whether they may a certain thing.
        """
        # Other bots quote strangers' words: nothing that they write is ever a command.
        if (
            user_id == self.policy.bot_id
            or user_id in self.policy.other_bots
            or self.state.membership(user_id) != "join"
        ):
            return False
        if not self.policy.allow_remote and not self.policy.is_local(user_id):
            return False
        return self.policy.named(user_id) or self.state.power(user_id) >= self.policy.power_level

    def may(self, user_id: str, *commands: str) -> bool:
        """Whether this moderator may use one of these commands, and so confirm what it asks for."""
        return self.is_moderator(user_id) and any(self.policy.roles.allow(user_id, command) for command in commands)

    def unlimited(self, user_id: str) -> bool:
        """Whether this is a moderator whom no role limits."""
        return self.is_moderator(user_id) and user_id not in self.policy.roles.users

    def moderators(self, *commands: str) -> frozenset[str]:
        """Everybody who may command and confirm now; with commands, those who may use one of these."""
        joined = self.state.joined()
        return frozenset(
            user_id for user_id in joined if (self.may(user_id, *commands) if commands else self.is_moderator(user_id))
        )

    def could_moderate(self) -> frozenset[str]:
        """Everybody who has the right, in the room or not: nobody of these is ever a target."""
        named = {u for u, power in self.state.explicit_powers.items() if power >= self.policy.power_level}
        by_settings = set(self.policy.users) | self.policy.roles.users
        return frozenset(named | by_settings | self.moderators())


class Authority:
    """Reads the admin room and the accounts."""

    def __init__(self, rooms: Rooms, accounts: AccountBackend, policy: Policy, admin_room: CurrentAdminRoom) -> None:
        self._rooms = rooms
        self._accounts = accounts
        self.policy = policy
        self.admin_room_now = admin_room

    @property
    def admin_room_id(self) -> str:
        """The id of the room that the bot obeys now."""
        return self.admin_room_now.room_id

    async def admin_room(self) -> AdminRoom:
        """Raises: HomeserverError."""
        return AdminRoom(self.admin_room_id, await self._rooms.state(self.admin_room_id), self.policy)

    async def moderator_since(self, room: AdminRoom, user_id: str, until_ts: int) -> int | None:
        """Since when somebody has been a moderator, by the times of the room's own state events.

        Args:
            until_ts: as far back as it matters, milliseconds since 1970.

        Returns:
            Milliseconds since 1970, not exact before `until_ts`; None where it can't be told, or they are none.

        Raises:
            HomeserverError: it can't be asked.
        """
        if not room.is_moderator(user_id):
            return None

        def joined(content: Mapping[str, Any]) -> bool:
            return content.get("membership") == "join"

        def entitled(content: Mapping[str, Any]) -> bool:
            users = content.get("users")
            power = users.get(user_id) if isinstance(users, Mapping) else None
            power = content.get("users_default") if power is None else power
            # Who has no level at all has 0, and a moderator's is 1 at least.
            return isinstance(power, int) and power >= self.policy.power_level

        since = await self._rooms.true_since(room.room_id, MEMBER, user_id, joined, until_ts)
        if since is None or self.policy.named(user_id) or user_id in room.state.creators:
            return since
        by_power = await self._rooms.true_since(room.room_id, POWER_LEVELS, "", entitled, until_ts)
        return None if by_power is None else max(since, by_power)

    async def room(self, room_id: str) -> RoomState:
        """Any room that the bot is in, as it is now. Raises: HomeserverError."""
        return await self._rooms.state(room_id)

    async def display_name(self, room_id: str) -> str | None:
        """What the bot is called in a room; None where it has no display name there. Raises: HomeserverError."""
        return await self._rooms.display_name(room_id, self.policy.bot_id)

    async def room_id_of(self, room: str) -> str | None:
        """The id of a room that was named by id or address; None where there is none. Raises: HomeserverError."""
        return await self._rooms.resolve_alias(room) if room.startswith("#") else room

    async def members_before_joining(self, room_id: str) -> RoomState:
        """A room's members as the admin API tells them, joined and invited, before the bot is one of them.

        Raises:
            HomeserverError: it can't be told; NotFound where this server doesn't know the room.
        """
        return RoomState.from_events(await self._accounts.room_state(room_id, "m.room.member"))

    async def state_before_joining(self, room_id: str) -> list[dict[str, Any]]:
        """A room's whole state as the admin API tells it, joined or not.

        Raises:
            HomeserverError: it can't be told; NotFound where this server doesn't know the room.
        """
        return await self._accounts.room_state(room_id)

    async def facts(self, user_id: str, *, count_for: float = COUNT_SECONDS) -> Facts | None:
        """One look at an account; None where the homeserver doesn't know it.

        Args:
            count_for: seconds to spend on counting rooms where it is the only admin; 0 doesn't count.

        Raises:
            HomeserverError: something couldn't be read.
        """
        user = await self._accounts.user(user_id)
        if user is None:
            return None
        devices, rooms, media = await asyncio.gather(
            self._accounts.devices(user_id), self._accounts.joined_rooms(user_id), self._accounts.media_total(user_id)
        )
        facts = replace(facts_of(user), devices=len(devices), rooms=len(rooms), media=media)
        if count_for <= 0:
            return facts
        return replace(facts, only_admin_in=await self.only_admin_in(user_id, rooms, seconds=count_for))

    async def only_admin_in(
        self, user_id: str, rooms: list[str] | None = None, *, seconds: float
    ) -> tuple[str, ...] | None:
        """Names of the rooms where this account is the only admin, or None where counting took too long."""
        if rooms is None:
            rooms = await self._accounts.joined_rooms(user_id)
        counted = await sole_admin_rooms(self._accounts, user_id, rooms, seconds)
        # Names may be of any length, and all of them are stored with the request.
        return tuple((room.name or room.room_id)[:255] for room in counted.found) if counted.complete else None

    async def refuse(
        self, target_id: str, requester_id: str, facts: Facts | None, admin_room: AdminRoom, *, erase: bool
    ) -> Refusal | None:
        """Why a moderator may not remove this account, or None where he may."""
        around = self.surroundings(admin_room)
        return refuse_name(target_id, requester_id, around) or refuse_account(facts, Options(erase=erase))

    def surroundings(self, admin_room: AdminRoom) -> Surroundings:
        """What the rules of protection need to know."""
        return Surroundings(
            bot_id=self.policy.bot_id,
            server_name=self.policy.server_name,
            protected=self.policy.protected,
            moderators=admin_room.could_moderate(),
            acting=admin_room.moderators("deactivate"),
        )

    async def reactions(self, room_id: str, event_id: str) -> list[tuple[str, str, str]]:
        """The reactions that stand under an event now: (sender, key, event_id)."""
        return [(r.sender, r.key, r.event_id) for r in await self._rooms.reactions(room_id, event_id)]
