"""The sync loop against a homeserver that is played: what it asks for, when it waits, when it moves on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from homeserver.client.api import Api, BadToken, Forbidden, HomeserverError, RateLimited, ServerFault, Unreachable
from homeserver.client.backoff import Backoff, patiently
from homeserver.client.credentials import DeadToken
from homeserver.client.sync import Sync, usual_poll_ms
from homeserver.client.timeline import Reader
from homeserver.encryption.crypto import Crypto
from homeserver.encryption.devices import Directory
from homeserver.encryption.machine import open_machine
from removal.incoming import SyncBatch

BOT, ROOM = "@lethe:lethe.test", "!room:lethe.test"
LOG = logging.getLogger("lethe.test")


class Played(Api):
    """Answers by a script: the next thing for each path, an answer or an error; after the last one it hangs."""

    def __init__(self, script: dict[str, list[Any]]) -> None:
        super().__init__(None, "http://server", None)  # type: ignore[arg-type] # never asked
        self.script = script
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.hanging = asyncio.Event()

    async def call(self, method: str, path: str, *ids: str, **options: Any) -> dict[str, Any]:
        name = path.rsplit("/", 1)[-1]
        self.asked.append((name, options.get("params") or options.get("json") or {}))
        left = self.script.get(name, [])
        if not left:
            if name != "sync":
                return {}
            self.hanging.set()
            await asyncio.Event().wait()
        answer = left.pop(0)
        if isinstance(answer, HomeserverError):
            raise answer
        assert isinstance(answer, dict)
        return answer

    def params(self, name: str) -> list[dict[str, Any]]:
        return [params for asked, params in self.asked if asked == name]


class Noted(Backoff):
    """Waits for next to nothing, and notes for what."""

    def __init__(self) -> None:
        super().__init__(first=0.001, limit=0.001)
        self.errors: list[HomeserverError] = []

    def next_wait(self, error: HomeserverError) -> float:
        self.errors.append(error)
        return super().next_wait(error)


class Stage:
    """A loop with everything around it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.batches: list[SyncBatch] = []
        self.backoff = Noted()
        self.encrypted: list[str] = []
        self.back = 0
        self.machine = open_machine(directory / "keys.db", BOT, "BOT")

    async def _back(self) -> None:
        self.back += 1

    async def run(
        self, script: dict[str, list[Any]], since: str | None = "s0", store: Callable[[SyncBatch], None] | None = None
    ) -> Played:
        """Play the script to its end."""
        api = Played(script)
        people = Directory(api, self.machine.learn_devices, LOG)
        crypto = Crypto(api, self.machine, people, LOG)
        reader = Reader(crypto, people, LOG)

        async def nothing() -> None:
            return None

        loop = Sync(api, crypto, people, reader, BOT, self.encrypted.append, nothing, LOG, self.backoff)

        async def keep(batch: SyncBatch) -> None:
            if store is not None:
                store(batch)
            self.batches.append(batch)

        stop = asyncio.Event()
        running = asyncio.create_task(loop.run(since, keep, stop, usual_poll_ms, self._back))
        hanging = asyncio.create_task(api.hanging.wait())
        async with asyncio.timeout(10):
            await asyncio.wait({running, hanging}, return_when=asyncio.FIRST_COMPLETED)
            stop.set()
            hanging.cancel()
            await running
        return api


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.machine.store.close()


def event(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "event_id": f"${number}",
        "sender": BOT,
        "type": "m.room.message",
        "content": {"body": str(number)},
        "origin_server_ts": number,
        **changes,
    }


def answer(token: str, events: list[Any], **timeline: Any) -> dict[str, Any]:
    return {"next_batch": token, "rooms": {"join": {ROOM: {"timeline": {"events": events, **timeline}}}}}


def ids(batch: SyncBatch) -> list[str]:
    return [each.event_id for each in batch.events]


async def test_each_failure_is_followed_by_one_wait(stage: Stage) -> None:
    """Whatever goes wrong, the homeserver is asked again with the same token, after a wait each time."""
    failures = [
        Unreachable("no"),
        ServerFault("no", 502),
        RateLimited("no", retry_after=0.0),
        Forbidden("no", 403),
        BadToken("no", 401),  # without an error code: not the homeserver's own
    ]
    api = await stage.run({"sync": [*failures, answer("s1", [event(1)])]})
    assert stage.backoff.errors == failures
    assert [params.get("since") for params in api.params("sync")] == ["s0"] * 6 + ["s1"]
    assert [ids(batch) for batch in stage.batches] == [["$1"]]
    assert stage.back == 1


async def test_a_dead_token_ends_the_loop(stage: Stage) -> None:
    """The homeserver's own word that the token is unknown ends it at once."""
    with pytest.raises(DeadToken, match="M_UNKNOWN_TOKEN"):
        await stage.run({"sync": [BadToken("401 M_UNKNOWN_TOKEN", 401, "M_UNKNOWN_TOKEN")]})
    assert stage.backoff.errors == []


async def test_what_cannot_be_stored_ends_the_loop(stage: Stage) -> None:
    """An error of the store comes out, and nothing is asked for after it."""

    def full(batch: SyncBatch) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        await stage.run({"sync": [answer("s1", [event(1)]), answer("s2", [])]}, store=full)


async def test_a_gap_is_read_back_to_the_last_token(stage: Stage) -> None:
    """A limited timeline is filled page by page, oldest first, and an event that is in both comes once."""
    pages = [{"chunk": [event(5), event(4)], "end": "p1"}, {"chunk": [event(3), event(2)]}]
    api = await stage.run(
        {"sync": [answer("s1", [event(5), event(6)], limited=True, prev_batch="p0")], "messages": pages}
    )
    assert ids(stage.batches[0]) == ["$2", "$3", "$4", "$5", "$6"]
    assert [(each["from"], each["to"], each["dir"]) for each in api.params("messages")] == [
        ("p0", "s0", "b"),
        ("p1", "s0", "b"),
    ]


async def test_no_token_no_gap(stage: Stage) -> None:
    """The very first sync reads nothing back: there is nothing to go back to."""
    api = await stage.run({"sync": [answer("s1", [event(1)], limited=True, prev_batch="p0")]}, since=None)
    assert api.params("messages") == []
    assert stage.batches[0].first


async def test_a_gap_that_fails_keeps_the_token(stage: Stage) -> None:
    """While a gap can't be read the batch isn't handed over, and the sync isn't asked for again."""
    failures = [ServerFault("no", 500), RateLimited("no", retry_after=0.0), Unreachable("no")]
    pages = [{"chunk": [event(2)], "end": "p1"}, failures[0], *failures[1:], {"chunk": [event(2)]}]
    api = await stage.run({"sync": [answer("s1", [event(3)], limited=True, prev_batch="p0")], "messages": pages})
    assert [ids(batch) for batch in stage.batches] == [["$2", "$3"]]
    assert stage.backoff.errors == failures
    assert [params.get("since") for params in api.params("sync")] == ["s0", "s1"]


async def test_a_gap_that_is_refused_is_passed(stage: Stage) -> None:
    """A gap of a room that the bot may no longer read doesn't hold up the others."""
    sync = [answer("s1", [event(3)], limited=True, prev_batch="p0")]
    await stage.run({"sync": sync, "messages": [Forbidden("no", 403)]})
    assert [ids(batch) for batch in stage.batches] == [["$3"]]


async def test_keys_are_counted_when_nothing_else_came(stage: Stage) -> None:
    """A sync with the same token as before still says how many keys there are, and 0 is a number."""
    counts: dict[str, Any] = {"device_one_time_keys_count": {}, "device_unused_fallback_key_types": []}
    api = await stage.run({"sync": [{"next_batch": "s0", **counts}]})
    (body,) = api.params("upload")
    assert len(body["one_time_keys"]) == stage.machine.account.max_one_time_keys
    assert len(body["fallback_keys"]) == 1


async def test_enough_keys_are_enough(stage: Stage) -> None:
    """Nothing is uploaded while most keys are there and the fallback key is unused, or where nothing is said."""
    counts = {
        "device_one_time_keys_count": {"signed_curve25519": 49},
        "device_unused_fallback_key_types": ["signed_curve25519"],
    }
    api = await stage.run({"sync": [{"next_batch": "s1", **counts}, {"next_batch": "s2"}]})
    assert api.params("upload") == []


async def test_an_encryption_event_is_noted_before_anything_is_said(stage: Stage) -> None:
    """A room whose encryption event came is known as encrypted."""
    state = event(1, type="m.room.encryption", state_key="", content={})
    await stage.run({"sync": [answer("s1", [state, event(2, type="m.room.encryption")])]})
    assert stage.encrypted == [ROOM]


async def test_an_invitation_without_inviter_is_ignored(stage: Stage) -> None:
    """Only the member event of the bot itself says who invited."""

    def invite(**changes: Any) -> dict[str, Any]:
        member = {"type": "m.room.member", "state_key": BOT, "sender": "@moderator:lethe.test"}
        return {"invite_state": {"events": [{**member, "content": {"membership": "invite"}, **changes}]}}

    rooms = {
        "!one": invite(),
        "!two": invite(state_key="@other:lethe.test"),
        "!three": invite(sender=1),
        "!four": invite(content={"membership": "join"}),
        "!five": {},
        "!six": invite(sender="@\ud800:lethe.test"),  # no database could hold these two
        "!\ud800": invite(),
    }
    await stage.run({"sync": [{"next_batch": "s1", "rooms": {"invite": rooms}}]})
    assert [(each.room_id, each.inviter) for each in stage.batches[0].invites] == [("!one", "@moderator:lethe.test")]


def test_waits_grow_and_are_spread() -> None:
    """Each wait lies in the upper half of a ceiling that doubles up to its limit, and no two bots wait alike."""
    backoff = Backoff(first=1.0, limit=60.0)
    waits = [backoff.next_wait(Unreachable("no")) for _ in range(10)]
    ceilings = [min(2.0**number, 60.0) for number in range(10)]
    assert all(ceiling / 2 <= wait <= ceiling for wait, ceiling in zip(waits, ceilings, strict=True))
    assert len({Backoff().next_wait(Unreachable("no")) for _ in range(20)}) > 1
    backoff.reset()
    assert backoff.next_wait(Unreachable("no")) <= 1.0


def test_what_the_homeserver_asks_for_is_obeyed() -> None:
    """Retry-After is waited for in full, at most a second more, even where it is longer than our longest wait."""
    backoff = Backoff(limit=60.0)
    assert 300 <= backoff.next_wait(RateLimited("no", retry_after=300.0)) <= 301


async def test_patience_ends_with_a_refusal() -> None:
    """What passes is asked again; a refusal comes out."""
    answers: list[Exception] = [Forbidden("no", 403), RateLimited("no", retry_after=0.0)]

    async def ask() -> None:
        raise answers.pop()

    with pytest.raises(Forbidden):
        await patiently(ask, LOG, limit=0.001)
    assert answers == []
