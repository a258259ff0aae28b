"""The sync loop: requests a batch, fills gaps in timelines, has it stored, and only then goes on to the next.

Source: client-server API, "Syncing" (`GET /sync`), `GET /rooms/{roomId}/messages`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from homeserver.client.api import Api, BadAnswer, BadToken, HomeserverError, Refused
from homeserver.client.backoff import Backoff
from homeserver.client.clock import local_ms
from homeserver.client.credentials import DeadToken
from homeserver.client.running import TYPE as RUNNING
from homeserver.client.stopping import Stopped, unless
from homeserver.client.timeline import Reader, parse
from homeserver.encryption.crypto import Crypto
from homeserver.encryption.devices import Directory
from homeserver.encryption.machine import DiskError
from removal.incoming import Incoming, Invite, SyncBatch

POLL_MS = 30_000
"""How long the homeserver waits for something to tell."""
_FILTER = {
    "presence": {"not_types": ["*"]},
    "account_data": {"types": [RUNNING]},
    "room": {
        # The room's state is read anew when somebody is authorised, and never kept: changes come in the timeline.
        "state": {"not_types": ["*"]},
        "ephemeral": {"not_types": ["*"]},
        "account_data": {"not_types": ["*"]},
        "timeline": {"limit": 50},
    },
}
_PAGE = 100
_PAGES_MAX = 200
"""Of one room's gap: 20,000 events. Whoever writes more while we are away is not heard to the end."""

Store = Callable[[SyncBatch], Awaitable[None]]
PollMs = Callable[[], Awaitable[int]]
Back = Callable[[], Awaitable[None]]
Answer = TypeVar("Answer")


async def usual_poll_ms() -> int:
    """Where nothing has to be known at a certain time."""
    return POLL_MS


class Sync:
    """Syncs for ever.

    Args:
        api: with the bot's token.
        crypto: takes to-device messages and key counts.
        directory: is told whose devices changed.
        reader: opens encrypted events.
        user_id: the bot.
        encrypted: told each room that an encryption event came for.
        own_keys_changed: awaited when the bot's own devices or identity changed.
        log: gets what is strange.
        backoff: how long to wait after a failure.
        clock: the homeserver's, milliseconds since 1970.
    """

    def __init__(
        self,
        api: Api,
        crypto: Crypto,
        directory: Directory,
        reader: Reader,
        user_id: str,
        encrypted: Callable[[str], None],
        own_keys_changed: Callable[[], Awaitable[None]],
        log: logging.Logger,
        backoff: Backoff | None = None,
        clock: Callable[[], int] = local_ms,
    ) -> None:
        self._api = api
        self._crypto = crypto
        self._directory = directory
        self._reader = reader
        self._user_id = user_id
        self._encrypted = encrypted
        self._own_keys_changed = own_keys_changed
        self._log = log
        self._backoff = backoff or Backoff()
        self._clock = clock
        self._failing = False
        self._asked_ts: int | None = None
        self.last_synced_ts: int | None = None

    async def run(
        self, since: str | None, store: Store, stop: asyncio.Event, poll_ms: PollMs, back: Back | None = None
    ) -> None:
        """Until `stop` is set; a batch that is being stored then is stored to its end.

        Args:
            since: the last batch's token that was stored; None at the very first start.
            store: keeps a batch and its token, both or neither. What it raises ends the loop.
            stop: ends the loop within moments.
            poll_ms: asked before each sync how long the homeserver may wait for something to tell.
            back: awaited when the homeserver answers again after it didn't.

        Raises:
            DeadToken: the token is dead.
        """
        try:
            await self._run(since, store, stop, poll_ms, back)
        except Stopped:
            return

    async def _run(
        self, since: str | None, store: Store, stop: asyncio.Event, poll_ms: PollMs, back: Back | None
    ) -> None:
        first = True
        while True:
            # The first one answers at once: whoever waits for the bot to be there needn't wait for the next event.
            wait_ms = 0 if first else await poll_ms()
            answer = await self._patiently(lambda: self._ask(since, wait_ms), stop)  # noqa: B023
            first = False
            self._crypto.receive(_list(_object(answer.get("to_device")).get("events")))
            self._note_devices(answer)
            batch = await self._patiently(lambda: self._batch(answer, since), stop)  # noqa: B023
            await store(batch)
            since = batch.since
            self._crypto.told_of(batch.new_sessions)
            self.last_synced_ts = self._asked_ts
            if self._failing:
                self._failing = False
                if back is not None:
                    await back()
            await unless(stop, self._keep_keys(answer))

    async def _patiently(self, ask: Callable[[], Coroutine[Any, Any, Answer]], stop: asyncio.Event) -> Answer:
        """Asks until there is an answer that can be used, waiting longer and longer in between.

        Raises:
            DeadToken: the token is dead.
            Stopped: it is time to go.
        """
        while True:
            try:
                result = await unless(stop, ask())
            except HomeserverError as error:  # retried after a refusal too: stopping the bot wouldn't help
                if isinstance(error, BadToken) and error.errcode:  # else not the homeserver's answer
                    raise DeadToken(f"the homeserver no longer takes the access token ({error})") from None
                self._failing = True
                wait = self._backoff.next_wait(error)
                self._log.warning("Sync: %s. Trying again in %.0f s.", error, wait)
                await unless(stop, asyncio.sleep(wait))
            else:
                self._backoff.reset()
                return result

    async def _ask(self, since: str | None, timeout_ms: int) -> dict[str, Any]:
        params: dict[str, str | int | bool] = {
            "filter": json.dumps(_FILTER),
            "timeout": timeout_ms,
            "set_presence": "offline",
        }
        if since is not None:
            params["since"] = since
        self._asked_ts = self._clock()
        answer = await self._api.call("GET", "/_matrix/client/v3/sync", params=params, timeout=timeout_ms / 1000 + 90)
        if not isinstance(answer.get("next_batch"), str):
            raise BadAnswer("GET /_matrix/client/v3/sync: the answer lacks next_batch")
        return answer

    def _note_devices(self, answer: Mapping[str, Any]) -> None:
        lists = _object(answer.get("device_lists"))
        for name in ("changed", "left"):
            self._directory.changed(each for each in _list(lists.get(name)) if isinstance(each, str))

    async def _keep_keys(self, answer: Mapping[str, Any]) -> None:
        """Looks after our keys. Not now is no harm: the next sync says the same again."""
        try:
            await self._crypto.count_keys(answer)
            await self._crypto.mend()
            if self._user_id in _list(_object(answer.get("device_lists")).get("changed")):
                await self._own_keys_changed()
        except HomeserverError as error:
            self._log.warning("Couldn't update the encryption keys: %s", error)

    async def _batch(self, answer: Mapping[str, Any], since: str | None) -> SyncBatch:
        rooms = _object(answer.get("rooms"))
        events: list[Incoming] = []
        for room_id, room in _by_id(rooms.get("join")).items():
            events += await self._room(room_id, _object(_object(room).get("timeline")), since)
        invites = [
            invite
            for room_id, room in _by_id(rooms.get("invite")).items()
            if (invite := self._invite(room_id, _list(_object(_object(room).get("invite_state")).get("events"))))
        ]
        return SyncBatch(
            since=str(answer["next_batch"]),
            events=events,
            invites=invites,
            left_rooms=list(_by_id(rooms.get("leave"))),
            new_sessions=self._crypto.new_sessions(),
            first=since is None,
            running=_running(answer),
        )

    async def _room(self, room_id: str, timeline: Mapping[str, Any], since: str | None) -> list[Incoming]:
        raw = _list(timeline.get("events"))
        prev_batch = timeline.get("prev_batch")
        if timeline.get("limited") is True and since is not None and isinstance(prev_batch, str):
            raw = await self._gap(room_id, prev_batch, since) + raw
        events: dict[str, Incoming] = {}
        for each in raw:
            event = parse(each, room_id)
            if event is None:
                self._log.info("Ignored something in the timeline of %s that isn't an event.", room_id)
                continue
            if event.event_id in events:
                continue
            if event.type == "m.room.encryption" and event.state_key == "":
                self._encrypted(room_id)
            try:
                read = await self._reader.read(event)
            except (HomeserverError, DiskError):
                raise
            except Exception:  # an event that can't be read must not stop the ones after it
                self._log.exception("Dropped %s of %s in %s.", event.event_id, event.sender, room_id)
                continue
            if read is not None:
                events[event.event_id] = read
        return list(events.values())

    async def _gap(self, room_id: str, prev_batch: str, since: str) -> list[Any]:
        """The events between two tokens, oldest first."""
        newest_first: list[Any] = []
        position = prev_batch
        for _ in range(_PAGES_MAX):
            params: dict[str, str | int | bool] = {"dir": "b", "from": position, "to": since, "limit": _PAGE}
            path = "/_matrix/client/v3/rooms/{}/messages"
            try:
                page = await self._api.call("GET", path, room_id, params=params, timeout=60.0)
            except BadToken:
                raise
            except (Refused, ValueError) as error:
                self._log.warning("Couldn't fetch what was sent to %s in the meantime: %s", room_id, error)
                break
            newest_first += _list(page.get("chunk"))
            end = page.get("end")
            if not isinstance(end, str) or end == position:
                break
            position = end
        else:
            self._log.warning(
                "More than %d events in %s meanwhile: the oldest are skipped.", _PAGES_MAX * _PAGE, room_id
            )
        newest_first.reverse()
        return newest_first

    def _invite(self, room_id: str, state: list[Any]) -> Invite | None:
        for event in state:
            if (
                isinstance(event, dict)
                and event.get("type") == "m.room.member"
                and event.get("state_key") == self._user_id
                and _object(event.get("content")).get("membership") == "invite"
                and _is_text(event.get("sender"))
            ):
                event_id = event.get("event_id")
                return Invite(room_id, event["sender"], str(event_id) if _is_text(event_id) else "")
        self._log.info("Ignored an invitation to %s that doesn't say who sent it.", room_id)
        return None


def _running(answer: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The newest note of who runs as this account."""
    events = _list(_object(answer.get("account_data")).get("events"))
    notes = [
        _object(event.get("content")) for event in events if isinstance(event, dict) and event.get("type") == RUNNING
    ]
    return notes[-1] if notes else None


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _by_id(value: object) -> Mapping[str, Any]:
    """Rooms by their ids; what no database could hold isn't one."""
    return {room_id: room for room_id, room in _object(value).items() if _is_text(room_id)}


def _is_text(value: object) -> bool:
    """Whether it is text that can be written as UTF-8: JSON may hold halves of surrogate pairs."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
