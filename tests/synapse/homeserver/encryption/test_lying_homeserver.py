"""A homeserver, or something in front of it, that answers what it shouldn't."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from homeserver.client.credentials import DeadToken
from homeserver.encryption.cross_signing import IdentityStatus
from removal.incoming import DeviceTrust
from sandbox.client import Person
from tests.support.bare_client import Bot
from tests.support.crafted_messages import TEXT, answers, owner_of
from tests.support.lying_proxy import Proxy

SYNC = "/_matrix/client/v3/sync"
SIGNING = "/_matrix/client/v3/keys/device_signing/upload"


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
    proxy.rules.append(lambda method, path, body: (404, gone) if "m.room.encryption" in path else None)
    await bot.start(listen=False)
    event_id = await bot.matrix.send(room_id, "m.room.message", TEXT, "one")
    assert (await moderator.event(event_id)).encrypted


async def test_no_clear_text_where_the_state_cannot_be_read(bot: Bot, proxy: Proxy, moderator: Person) -> None:
    """Nothing is sent while it isn't known whether the room is encrypted."""
    await bot.start()
    room_id = await bot.joined(moderator)
    proxy.rules.append(lambda method, path, body: (404, "<h1>Not found</h1>") if "m.room.encryption" in path else None)
    with pytest.raises(Exception, match="no JSON object"):
        await bot.matrix.send(room_id, "m.room.message", TEXT, "one")
    assert not [path for _, path in proxy.asked if "/send/" in path]


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
    proxy.rules.append(lambda method, path, body: strange.pop() if path == SYNC and strange else None)
    await answers(bot, moderator, room_id)
    assert strange == []
    proxy.rules.append(lambda method, path, body: (401, {"errcode": "M_UNKNOWN_TOKEN"}) if path == SYNC else None)
    await moderator.say(room_id, "wake up")
    with pytest.raises(DeadToken):
        await bot.ended()


async def test_keys_that_the_homeserver_swaps_are_not_believed(bot: Bot, proxy: Proxy, moderator: Person) -> None:
    """A homeserver that shows another signing key of a known device doesn't become that device."""
    await bot.start()
    room_id = await bot.joined(moderator, encrypted=True)
    await answers(bot, moderator, room_id)

    def swap(path: str, answer: dict[str, Any]) -> None:
        if path.endswith("/keys/query"):
            device = answer["device_keys"].get(moderator.user_id, {}).get(moderator.device_id)
            if device:
                device["keys"][f"ed25519:{moderator.device_id}"] = "A" * 43

    proxy.changes.append(swap)
    bot.matrix._started().directory.changed([moderator.user_id])
    heard = await bot.hears(await moderator.say(room_id, "hello"))
    assert heard.trust is DeviceTrust.UNKNOWN


async def test_other_peoples_room_and_device_lists_do_no_harm(bot: Bot, proxy: Proxy, moderator: Person) -> None:
    """A sync answer with nonsense in every place is taken for what is left of it."""
    await bot.start()
    room_id = await bot.joined(moderator, encrypted=True)
    nonsense: list[Any] = [None, 1, "x", [], [None, 1, "x", [], {}], {"x": None}, {"x": {"timeline": {"events": [{}]}}}]

    def spoil(path: str, answer: dict[str, Any]) -> None:
        if path != SYNC or not nonsense:
            return
        value = nonsense.pop()
        for name in ("to_device", "device_lists", "device_one_time_keys_count", "device_unused_fallback_key_types"):
            answer[name] = value if not isinstance(value, dict) else {"events": value, "changed": value, "left": value}
        answer["rooms"] = {"join": value, "invite": value, "leave": value}

    proxy.changes.append(spoil)
    while nonsense:
        await bot.matrix.api.call("POST", "/_matrix/client/v3/createRoom", json={})
        before = bot.batches
        await bot.until(lambda: bot.batches > before, "the next batch")  # noqa: B023 # awaited at once
    await answers(bot, moderator, room_id)


def _status(bot: Bot) -> IdentityStatus:
    return bot.matrix.identity.status


def _asks_for_password(method: str, path: str, body: Any) -> tuple[int, Any] | None:
    if path == SIGNING and "auth" not in body:
        return 401, {"flows": [{"stages": ["m.login.password"]}], "params": {}, "session": "one"}
    return None


async def test_a_password_is_given_where_it_is_asked_for(bot: Bot, proxy: Proxy, moderator: Person) -> None:
    """A homeserver that wants the password for a new identity gets it."""
    proxy.rules.append(_asks_for_password)
    await bot.start(listen=False)
    assert _status(bot) is IdentityStatus.OK
    assert (await owner_of(moderator, bot.user_id)).devices[bot.keys.device_id].signed


async def test_without_a_password_it_is_said(bot: Bot, proxy: Proxy, moderator: Person) -> None:
    """With only a token and a homeserver that wants a password, the bot works, unsigned, and later signs with one."""
    proxy.rules.append(_asks_for_password)
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
    path = "/_matrix/client/v3/keys/signatures/upload"
    proxy.rules.append(lambda method, asked, body: (200, {"failures": {"x": {}}}) if asked == path else None)
    await bot.start(listen=False)
    assert _status(bot) is IdentityStatus.FAILED
    await bot.stop()
    proxy.rules[:] = [lambda method, asked, body: (200, {}) if asked == path else None]
    await bot.start(listen=False)
    assert _status(bot) is IdentityStatus.FAILED
    await bot.stop()
    proxy.rules.clear()
    await bot.start(listen=False)
    assert _status(bot) is IdentityStatus.OK
