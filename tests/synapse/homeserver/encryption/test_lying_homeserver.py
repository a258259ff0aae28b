"""A homeserver, or something in front of it, that answers what it shouldn't."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from homeserver.client.credentials import DeadToken
from homeserver.encryption.cross_signing import IdentityStatus
from removal.incoming import DeviceTrust
from sandbox.client import Person
from sandbox.proxy import Exchange, Proxy, answer, changing
from tests.support.bare_client import Bot
from tests.support.crafted_messages import TEXT, answers, owner_of

SYNC = r"^/_matrix/client/v3/sync(\?|$)"
SIGNING = "^/_matrix/client/v3/keys/device_signing/upload$"
SIGNATURES = "^/_matrix/client/v3/keys/signatures/upload$"
ENCRYPTION = r"m\.room\.encryption"


@pytest_asyncio.fixture
async def proxy(bot: Bot) -> AsyncIterator[Proxy]:
    """What the bot takes for its homeserver."""
    async with Proxy(bot.url) as running:
        bot.url = running.base_url
        yield running
        await bot.stop()


async def test_an_encrypted_room_is_never_taken_for_a_plain_one(bot: Bot, proxy: Proxy, moderator: Person) -> None:
    """Once a room was encrypted, a homeserver that denies it gets no clear text, not even after a restart."""
    await bot.start()
    room_id = await bot.joined(moderator, encrypted=True)
    await bot.stop()
    gone = {"errcode": "M_NOT_FOUND", "error": "Event not found."}
    proxy.on("*", ENCRYPTION, answer(404, gone))
    await bot.start(listen=False)
    event_id = await bot.matrix.send(room_id, "m.room.message", TEXT, "one")
    assert (await moderator.event(event_id)).encrypted


async def test_no_clear_text_where_the_state_cannot_be_read(bot: Bot, proxy: Proxy, moderator: Person) -> None:
    """Nothing is sent while it isn't known whether the room is encrypted."""
    await bot.start()
    room_id = await bot.joined(moderator)
    proxy.on("*", ENCRYPTION, answer(404, "<h1>Not found</h1>"))
    with pytest.raises(Exception, match="no JSON object"):
        await bot.matrix.send(room_id, "m.room.message", TEXT, "one")
    assert proxy.count("*", "/send/") == 0


async def test_only_the_homeserver_ends_it(bot: Bot, proxy: Proxy, moderator: Person) -> None:
    """Errors of proxies, a 401 without an error code among them, are waited out; M_UNKNOWN_TOKEN ends the loop."""
    await bot.start()
    room_id = await bot.joined(moderator, encrypted=True)
    strange: list[tuple[int, Any]] = [
        (502, "<h1>Bad gateway</h1>"),
        (200, "<h1>Welcome</h1>"),
        (401, "<h1>Unauthorized</h1>"),
        (401, {"message": "Unauthorized"}),
        (200, {}),
        (200, {"next_batch": 1}),
        (404, {"errcode": "M_UNRECOGNIZED"}),
        (429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1}),
        (500, {"errcode": "M_UNKNOWN"}),
    ]
    rules = [proxy.on("*", SYNC, answer(status, body), times=1) for status, body in strange]
    await answers(bot, moderator, room_id)
    assert [rule.hits for rule in rules] == [1] * len(strange)
    proxy.on("*", SYNC, answer(401, {"errcode": "M_UNKNOWN_TOKEN"}))
    await moderator.say(room_id, "wake up")
    with pytest.raises(DeadToken):
        await bot.ended()


async def test_keys_that_the_homeserver_swaps_are_not_believed(bot: Bot, proxy: Proxy, moderator: Person) -> None:
    """A homeserver that shows another signing key of a known device doesn't become that device."""
    await bot.start()
    room_id = await bot.joined(moderator, encrypted=True)
    await answers(bot, moderator, room_id)

    def swap(answered: dict[str, Any]) -> None:
        device = answered["device_keys"].get(moderator.user_id, {}).get(moderator.device_id)
        if device:
            device["keys"][f"ed25519:{moderator.device_id}"] = "A" * 43

    proxy.on("*", "/keys/query$", changing(swap))
    bot.matrix._started().directory.changed([moderator.user_id])
    heard = await bot.hears(await moderator.say(room_id, "hello"))
    assert heard.trust is DeviceTrust.UNKNOWN


async def test_other_peoples_room_and_device_lists_do_no_harm(bot: Bot, proxy: Proxy, moderator: Person) -> None:
    """A sync answer with nonsense in every place is taken for what is left of it."""
    await bot.start()
    room_id = await bot.joined(moderator, encrypted=True)
    nonsense: list[Any] = [None, 1, "x", [], [None, 1, "x", [], {}], {"x": None}, {"x": {"timeline": {"events": [{}]}}}]

    def spoil(answered: dict[str, Any]) -> None:
        if not nonsense:
            return
        value = nonsense.pop()
        for name in ("to_device", "device_lists", "device_one_time_keys_count", "device_unused_fallback_key_types"):
            spoilt = {"events": value, "changed": value, "left": value}
            answered[name] = spoilt if isinstance(value, dict) else value
        answered["rooms"] = {"join": value, "invite": value, "leave": value}

    proxy.on("*", SYNC, changing(spoil))
    while nonsense:
        await bot.matrix.api.call("POST", "/_matrix/client/v3/createRoom", json={})
        before = bot.batches
        await bot.until(lambda: bot.batches > before, "the next batch")  # noqa: B023 # awaited at once
    await answers(bot, moderator, room_id)


def _status(bot: Bot) -> IdentityStatus:
    return bot.matrix.identity.status


async def _asks_for_password(exchange: Exchange) -> web.StreamResponse:
    if "auth" in json.loads(exchange.body):
        return exchange.answer(await exchange.pass_on())
    flows = {"flows": [{"stages": ["m.login.password"]}], "params": {}, "session": "one"}
    return await answer(401, flows)(exchange)


async def test_a_password_is_given_where_it_is_asked_for(bot: Bot, proxy: Proxy, moderator: Person) -> None:
    """A homeserver that wants the password for a new identity gets it."""
    proxy.on("*", SIGNING, _asks_for_password)
    await bot.start(listen=False)
    assert _status(bot) is IdentityStatus.OK
    assert (await owner_of(moderator, bot.user_id)).devices[bot.keys.device_id].signed


async def test_without_a_password_it_is_said(bot: Bot, proxy: Proxy, moderator: Person) -> None:
    """With only a token and a homeserver that wants a password, the bot works, unsigned, and later signs with one."""
    proxy.on("*", SIGNING, _asks_for_password)
    password, bot.password, bot.access_token = bot.password, None, bot.account.access_token
    await bot.start()
    assert _status(bot) is IdentityStatus.MISSING_NEEDS_PASSWORD
    await answers(bot, moderator, await bot.joined(moderator, encrypted=True))
    await bot.stop()
    bot.password = password
    await bot.start(listen=False)
    assert _status(bot) is IdentityStatus.OK


async def test_a_refused_signature_is_said(bot: Bot, proxy: Proxy) -> None:
    """Where the homeserver doesn't take the signature, or drops it, the status says so instead of OK."""
    proxy.on("*", SIGNATURES, answer(200, {"failures": {"x": {}}}))
    await bot.start(listen=False)
    assert _status(bot) is IdentityStatus.FAILED
    await bot.stop()
    proxy.on("*", SIGNATURES, answer(200, {}))
    await bot.start(listen=False)
    assert _status(bot) is IdentityStatus.FAILED
    await bot.stop()
    proxy.calm()
    await bot.start(listen=False)
    assert _status(bot) is IdentityStatus.OK
