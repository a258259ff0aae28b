"""Answers of the admin API that are sound JSON and yet not to be believed: each is a `BadAnswer`, none a result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from homeserver.accounts.models import REDACTION
from homeserver.accounts.sole_admin import SEARCHERS, sole_admin_rooms
from homeserver.accounts.synapse import Synapse
from homeserver.client.api import Api, BadAnswer, NotFound
from homeserver.client.rooms import Rooms

PERSON = "@person:server"
USER: dict[str, Any] = {
    "name": PERSON,
    "displayname": None,
    "avatar_url": None,
    "admin": False,
    "deactivated": True,
    "erased": True,
    "suspended": False,
    "locked": False,
    "shadow_banned": False,
    "is_guest": False,
    "appservice_id": None,
    "user_type": None,
    "creation_ts": 1_700_000_000,
    "last_seen_ts": None,
    "threepids": [],
    "external_ids": [],
    "a field of a later version": [1, 2],
}
TASK: dict[str, Any] = {
    "id": "x",
    "action": REDACTION,
    "status": "active",
    "timestamp_ms": 1,
    "resource_id": PERSON,
    "result": None,
    "error": None,
}


@asynccontextmanager
async def answering(*answers: Any) -> AsyncIterator[Synapse]:
    """A door whose questions get these answers in turn, the last one again and again."""
    left = list(answers)

    async def handle(_request: web.BaseRequest) -> web.Response:
        return web.json_response(left.pop(0) if len(left) > 1 else left[0])

    async with RawTestServer(handle) as server, aiohttp.ClientSession() as session:
        yield Synapse(Api(session, str(server.make_url("/")), "token"))


async def test_the_sound_answer_is_read() -> None:
    """The samples below fail for what is wrong with them, not for another reason."""
    async with answering(USER) as synapse:
        user = await synapse.user(PERSON)
    assert user is not None
    assert (user.user_id, user.deactivated, user.creation_ts) == (PERSON, True, 1_700_000_000_000)


@pytest.mark.parametrize(
    "change",
    [{name: None} for name in USER if name not in ("displayname", "avatar_url", "appservice_id", "user_type",
                                                   "last_seen_ts", "a field of a later version")]
    + [{"deactivated": 1}, {"erased": "true"}, {"suspended": 0}, {"creation_ts": "1"}, {"creation_ts": True},
       {"threepids": [{"medium": "email"}]}, {"threepids": {}}, {"external_ids": ["x"]}, {"name": "@other:server"}],
)  # fmt: skip
async def test_an_account_described_strangely_is_not_believed(change: Mapping[str, Any]) -> None:
    """A flag of another type, a missing list or another account's description proves nothing."""
    async with answering({**USER, **change}) as synapse:
        with pytest.raises(BadAnswer):
            await synapse.user(PERSON)
    missing = {name: value for name, value in USER.items() if name not in change}
    async with answering(missing) as synapse:
        with pytest.raises(BadAnswer):
            await synapse.user(PERSON)


async def test_what_was_wrong_is_told_without_values() -> None:
    """An error names the field; what stood in it could be an address."""
    strange = {**USER, "threepids": [{"medium": 3, "address": "person@example.org"}]}
    async with answering(strange) as synapse:
        with pytest.raises(BadAnswer) as caught:
            await synapse.user(PERSON)
    assert "threepids" in str(caught.value)
    assert "person@example.org" not in str(caught.value)


Ask = Callable[[Synapse], Awaitable[Any]]


@pytest.mark.parametrize(
    ("ask", "answers"),
    [
        (lambda s: s.server_version(), [{}, {"server_version": 1}]),
        (lambda s: s.joined_rooms(PERSON), [{}, {"joined_rooms": [], "total": 2}, {"joined_rooms": [3], "total": 1}]),
        (lambda s: s.devices(PERSON), [{}, {"devices": [], "total": 1}, {"devices": [{}], "total": 1}]),
        (lambda s: s.device_records(PERSON), [{"devices": [], "total": 1}]),
        (lambda s: s.memberships(PERSON), [{}, {"memberships": {"!r": 1}}]),
        (lambda s: s.pushers(PERSON), [{}, {"total": "0"}, {"total": False}]),
        (lambda s: s.account_data(PERSON), [{}, {"account_data": {"global": {}}}, {"account_data": {"rooms": {}}}]),
        (lambda s: s.media_total(PERSON), [{}, {"media": [], "total": None}]),
        (lambda s: s.media(PERSON), [{"media": [{}], "total": 1}]),
        (lambda s: s.delete_media(PERSON), [{}, {"deleted_media": [], "total": False}]),
        (lambda s: s.quarantine_media(PERSON), [{}, {"num_quarantined": "1"}, {"num_quarantined": True}]),
        (lambda s: s.deactivate(PERSON, True), [{}, {"id_server_unbind_result": None}]),
        (lambda s: s.suspend(PERSON, True), [{}, {f"user_{PERSON}_suspended": False}]),
        (lambda s: s.suspend(PERSON, False), [{}, {f"user_{PERSON}_suspended": None}]),
        (lambda s: s.redact(PERSON, ["!r"]), [{}, {"redact_id": ""}, {"redact_id": 3}]),
        (lambda s: s.redact_status("x"), [{}, {"status": "complete"}, {"status": "done", "failed_redactions": {}},
                                          {"status": "complete", "failed_redactions": []}, {"status": None}]),
        (lambda s: s.scheduled_tasks(PERSON, REDACTION), [{}, {"scheduled_tasks": [{}]},
                                                          {"scheduled_tasks": [{**TASK, "resource_id": "@other:s"}]},
                                                          {"scheduled_tasks": [{**TASK, "action": "other"}]},
                                                          {"scheduled_tasks": [{**TASK, "status": "new"}]}]),
        (lambda s: s.room_state("!r"), [{}, {"state": {}}, {"state": ["x"]}]),
        (lambda s: s.room_members("!r"), [{}, {"members": [], "total": 3}]),
        (lambda s: s.room_details("!r"), [{}, {"room_id": "!r", "name": None}]),
        (lambda s: s.override_ratelimit(PERSON), [{"messages_per_second": 0}]),
        (lambda s: s.remove_threepids(PERSON), [{}]),
    ],
)  # fmt: skip
async def test_no_strange_answer_becomes_a_result(ask: Ask, answers: list[Any]) -> None:
    """For each question: a missing field, one of another type, a list cut short. None reads as "nothing left"."""
    for answer in answers:
        async with answering(answer) as synapse:
            with pytest.raises(BadAnswer):
                await ask(synapse)


async def test_third_party_ids_that_stay_are_not_taken_for_gone() -> None:
    """The answer to the change is looked at, too."""
    with_address = {**USER, "threepids": [{"medium": "email", "address": "person@example.org"}]}
    async with answering(with_address, with_address) as synapse:
        with pytest.raises(BadAnswer):
            await synapse.remove_threepids(PERSON)


async def test_a_change_never_follows_a_failed_look() -> None:
    """No account is made by trying to change one: where the look says 404, no other call is made."""
    asked: list[str] = []

    async def handle(request: web.BaseRequest) -> web.Response:
        asked.append(request.method)
        return web.json_response({"errcode": "M_NOT_FOUND", "error": "User not found"}, status=404)

    async with RawTestServer(handle) as server, aiohttp.ClientSession() as session:
        synapse = Synapse(Api(session, str(server.make_url("/")), "token"))
        for change in (synapse.remove_threepids, synapse.remove_external_ids):
            with pytest.raises(NotFound):
                await change(PERSON)
    assert asked == ["GET", "GET"]


async def test_only_the_homeservers_word_makes_an_account_unknown() -> None:
    """An old homeserver's "no such path" isn't "no such account"."""

    async def handle(_request: web.BaseRequest) -> web.Response:
        return web.json_response({"errcode": "M_UNRECOGNIZED", "error": "Unrecognized request"}, status=404)

    async with RawTestServer(handle) as server, aiohttp.ClientSession() as session:
        api = Api(session, str(server.make_url("/")), "token")
        synapse, rooms = Synapse(api), Rooms(api)
        for ask in (synapse.user, synapse.profile, synapse.redact_status, rooms.resolve_alias):
            with pytest.raises(NotFound):
                await ask(PERSON)
        with pytest.raises(NotFound):
            await rooms.event("!room", "$event")
        search = await sole_admin_rooms(synapse, PERSON, ["!room"], 10)
        assert isinstance(search.problem, NotFound)
        assert search.rest == ("!room",)


@pytest.mark.parametrize("answer", [{"event_id": "$other"}, {"event_id": "$event", "room_id": "!other"}])
async def test_another_event_than_the_one_asked_for_is_none(answer: dict[str, Any]) -> None:
    """Neither another one of that room, nor one of another room."""

    async def handle(_request: web.BaseRequest) -> web.Response:
        return web.json_response({"type": "m.room.message", **answer})

    async with RawTestServer(handle) as server, aiohttp.ClientSession() as session:
        rooms = Rooms(Api(session, str(server.make_url("/")), "token"))
        with pytest.raises(BadAnswer):
            await rooms.event("!room", "$event")


async def test_media_pages_that_never_end_are_left() -> None:
    """A next page that isn't further on ends the reading."""
    page = {"media": [{"media_id": "m", "created_ts": 1}], "total": 5, "next_token": 0}
    async with answering(page) as synapse:
        assert [each.media_id for each in await synapse.media(PERSON)] == ["m"]


async def test_a_search_asks_for_few_rooms_at_a_time() -> None:
    """The homeserver is asked for eight rooms at once, no more, however many there are."""
    under_way: list[str] = []
    most: list[int] = [0]
    full = asyncio.Event()

    async def handle(request: web.BaseRequest) -> web.Response:
        under_way.append(request.path)
        most[0] = max(most[0], len(under_way))
        if len(under_way) == SEARCHERS:
            full.set()
        await full.wait()
        under_way.remove(request.path)
        return web.json_response({"state": []})

    async with RawTestServer(handle) as server, aiohttp.ClientSession() as session:
        synapse = Synapse(Api(session, str(server.make_url("/")), "token"))
        result = await sole_admin_rooms(synapse, PERSON, [f"!r{number}" for number in range(50)], 30)
    assert (result.found, result.counted, result.complete) == ((), 50, True)
    assert most == [SEARCHERS]
