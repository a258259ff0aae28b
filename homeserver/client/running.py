"""Who runs as this account: a note in the account's own data, which every session of it reads and hears in its sync.

Nobody else can read or write it. Source: client-server API, "Client config" (`/user/{userId}/account_data/{type}`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from homeserver.client.api import Api, NotFound

TYPE = "lethe.running"
_PATH = "/_matrix/client/v3/user/{}/account_data/{}"


@dataclass(frozen=True, slots=True)
class Running:
    """One run of a bot, from its start to its end.

    Attributes:
        run: a name that no other run has.
        host: the machine's name, for people.
        started_ts: by the homeserver's clock, milliseconds since 1970.
        ended: it has said that it ends.
    """

    run: str
    host: str
    started_ts: int
    ended: bool = False

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self | None:
        """The note; None where it isn't one of ours."""
        run, host, started = content.get("run"), content.get("host"), content.get("started_ts")
        if not (isinstance(run, str) and run and isinstance(host, str) and type(started) is int):
            return None
        return cls(run, host, started, content.get("ended") is True)

    def older_than(self, other: Running) -> bool:
        """Whether it began first; where both began at once, one of them counts as the older all the same."""
        return (self.started_ts, self.run) < (other.started_ts, other.run)


class RunningNote:
    """Reads and writes the note.

    Args:
        api: with the bot's token; asked for only when the note is.
        user_id: the bot.
    """

    def __init__(self, api: Callable[[], Api], user_id: str) -> None:
        self._api = api
        self._user_id = user_id

    async def read(self) -> Running | None:
        """The note as it stands; None where there is none. Raises: HomeserverError."""
        try:
            return Running.read(await self._api().call("GET", _PATH, self._user_id, TYPE))
        except NotFound:
            return None

    async def write(self, running: Running) -> None:
        """Replaces it. Raises: HomeserverError."""
        await self._api().call("PUT", _PATH, self._user_id, TYPE, json=asdict(running))
