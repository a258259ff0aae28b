"""What every handler gets: the services it may use, and the command it was called for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from config import Settings
from engine.second_factor import Seeds
from engine.unit_of_work import UnitsOfWork
from handlers.authority import AdminRoom, Authority
from handlers.called import Called
from handlers.command import Parsed
from handlers.message import Message
from homeserver.accounts.backend import AccountBackend
from homeserver.client.files import Files
from removal.incoming import Incoming


async def no_event(room_id: str, event_id: str) -> Incoming | None:
    """Where nothing that was said before can be read."""
    return None


@dataclass(frozen=True, slots=True)
class Context:
    """The services a handler may use: units of work for changes, authority for permissions, accounts for look-ups."""

    units: UnitsOfWork
    authority: Authority
    accounts: AccountBackend
    settings: Settings
    files: Files
    seeds: Seeds | None = None
    """Of moderators' second factors, where the settings ask for one."""
    event: Callable[[str, str], Awaitable[Incoming | None]] = no_event
    """An event of a room (room_id, event_id), decrypted; None where there is none that can be read.

    Raises: HomeserverError.
    """

    @property
    def bot_id(self) -> str:
        return self.settings.homeserver.user_id

    @property
    def server_name(self) -> str:
        return self.settings.homeserver.server_name

    @property
    def called(self) -> Called:
        """The names of the bot that never change: its Matrix ID and the localpart of that."""
        return Called(self.bot_id, (self.bot_id[1:].partition(":")[0],))

    async def done(self, event: Incoming) -> bool:
        """Marks an event as handled without any effect. Always returns True, as handlers do for a handled event."""
        async with self.units.begin(event):
            return True


@dataclass(frozen=True, slots=True)
class ModeratorCommand:
    """A moderator's command that passed the gates."""

    event: Incoming
    parsed: Parsed
    room: AdminRoom
    """The admin room as it was when the command was authorised."""
    message: Message | None = None
    """What was read of the event."""

    @property
    def by(self) -> str:
        return self.event.sender

    def may(self, command: str) -> bool:
        """Whether whoever asked may use a command."""
        return self.room.may(self.by, command)


@dataclass(frozen=True, slots=True)
class DirectCommand:
    """A person's command in a direct message, which passed the gates."""

    event: Incoming
    parsed: Parsed
    encrypted: bool
    """Whether the conversation is."""
    second_factor: bool = False
    """Whether the settings ask moderators for one."""

    @property
    def by(self) -> str:
        return self.event.sender

    def may(self, command: str) -> bool:
        """Whether help shows it: everybody may use every command about their own account."""
        return command != "totp" or self.second_factor
