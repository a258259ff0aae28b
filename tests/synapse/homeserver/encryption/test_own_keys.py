"""The bot's own keys and identity, as a real homeserver shows them."""

from __future__ import annotations

import shutil
from typing import Any

from homeserver.client.credentials import SEEDS, keys_file
from homeserver.encryption.cross_signing import IdentityStatus, Seeds
from homeserver.encryption.signing import SigningKey
from sandbox.client import Person
from tests.support.bare_client import Bot
from tests.support.crafted_messages import CLAIM, TEXT, answers, joins, make_identity, owner_of
from tests.synapse.conftest import settled


async def test_others_see_the_bot_signed(bot: Bot, moderator: Person) -> None:
    """Somebody else who follows the chain from the bot's identity to its device finds the device signed."""
    await bot.start(listen=False)
    owner = await owner_of(moderator, bot.user_id)
    assert owner.devices[bot.keys.device_id].signed
    assert owner.identity_key == bot.matrix.identity.master_key


async def test_the_identity_stays(bot: Bot, moderator: Person) -> None:
    """Starting again neither makes a new identity nor changes the one there is."""
    await bot.start(listen=False)
    before, seeds = await owner_of(moderator, bot.user_id), (bot.data_dir / SEEDS).read_bytes()
    await bot.stop()
    await bot.start(listen=False)
    assert bot.matrix.identity.status is IdentityStatus.OK
    assert await owner_of(moderator, bot.user_id) == before
    assert (bot.data_dir / SEEDS).read_bytes() == seeds


async def test_an_identity_of_somebody_else_is_left_alone(bot: Bot, moderator: Person) -> None:
    """Where the account has an identity whose keys aren't here, the bot says so, changes nothing, and works."""
    elsewhere = Person(bot.url, bot.user_id)
    await elsewhere.login(bot.account.password)
    try:
        seeds = await make_identity(elsewhere)
        await bot.start()
        assert bot.matrix.identity.status is IdentityStatus.FOREIGN_IDENTITY
        assert (await owner_of(moderator, bot.user_id)).identity_key == seeds.master.public
        assert not (bot.data_dir / SEEDS).exists()
        await answers(bot, moderator, await bot.joined(moderator, encrypted=True))
    finally:
        await elsewhere.close()


async def test_an_identity_replaced_meanwhile_is_noticed(bot: Bot, moderator: Person) -> None:
    """Whoever replaces the identity while the bot runs is noticed, and the bot doesn't replace it back."""
    await bot.start()
    elsewhere = Person(bot.url, bot.user_id)
    await elsewhere.login(bot.account.password)
    try:
        path = "/_matrix/client/v3/keys/device_signing/upload"
        identifier = {"type": "m.id.user", "user": bot.user_id}
        proof = {"type": "m.login.password", "identifier": identifier, "password": bot.account.password}
        seeds = Seeds({usage: SigningKey.new_seed() for usage in ("master", "self_signing", "user_signing")})
        await elsewhere.call("POST", path, json={**seeds.public_keys(bot.user_id), "auth": proof})

        async def noticed() -> bool:
            return bot.matrix.identity.status is IdentityStatus.FOREIGN_IDENTITY

        await settled(noticed)
        assert (await owner_of(moderator, bot.user_id)).identity_key == seeds.master.public
    finally:
        await elsewhere.close()


async def refilled(bot: Bot) -> None:
    """The homeserver has nearly all one-time keys of the bot that it can have."""

    async def enough() -> bool:
        answer = await bot.matrix.api.call("POST", "/_matrix/client/v3/keys/upload", json={})
        return bool(answer["one_time_key_counts"].get("signed_curve25519", 0) >= 40)

    await settled(enough)


async def test_one_time_keys_are_refilled_from_none(bot: Bot, moderator: Person, stranger: Person) -> None:
    """After somebody took every one-time key, a new device still reaches the bot, and there are keys again."""
    await bot.start()
    room_id = await bot.joined(moderator, encrypted=True)
    wanted = {"one_time_keys": {bot.user_id: {bot.keys.device_id: "signed_curve25519"}}}
    last: Any = None
    for _ in range(120):
        keys = (await stranger.call("POST", CLAIM, json=wanted))["one_time_keys"][bot.user_id][bot.keys.device_id]
        if keys == last:
            break  # the fallback key, again and again
        last = keys
    assert next(iter(last.values())).get("fallback") is True
    await answers(bot, moderator, room_id)

    await refilled(bot)


async def test_without_one_time_keys_there_is_a_fallback_key(bot: Bot, moderator: Person, stranger: Person) -> None:
    """All one-time keys taken while the bot is away: who writes then uses the fallback key, and is read."""
    await bot.start()
    room_id = await bot.joined(moderator, encrypted=True)
    await bot.until(lambda: bot.batches > 1, "a second batch")
    device_id = bot.keys.device_id
    await bot.stop()
    wanted = {"one_time_keys": {bot.user_id: {device_id: "signed_curve25519"}}}
    last: Any = None
    for _ in range(120):
        keys = (await stranger.call("POST", CLAIM, json=wanted))["one_time_keys"][bot.user_id][device_id]
        if keys == last:
            break
        last = keys
    assert next(iter(last.values())).get("fallback") is True
    event_id = await moderator.say(room_id, "over the fallback key")
    await bot.start()
    assert (await bot.hears(event_id)).content["body"] == "over the fallback key"
    used = next(iter(last.values()))["key"]

    async def replaced() -> bool:
        for _ in range(200):
            keys = (await stranger.call("POST", CLAIM, json=wanted))["one_time_keys"][bot.user_id][device_id]
            key = next(iter(keys.values()))
            if key.get("fallback") and key["key"] != used:
                return True
        return False

    assert await replaced(), "a used fallback key is replaced"


async def test_an_older_copy_of_the_keys_is_repaired(bot: Bot, moderator: Person, stranger: Person) -> None:
    """A backup from before the last one-time keys can be put back: keys are refilled, and new devices reach the bot."""
    await bot.start()
    room_id = await bot.joined(moderator, encrypted=True)
    file = keys_file(bot.data_dir, bot.keys.device_id)
    await bot.stop()
    shutil.copy(file, file.with_suffix(".old"))
    wanted = {"one_time_keys": {bot.user_id: {file.stem: "signed_curve25519"}}}
    for _ in range(40):
        await stranger.call("POST", CLAIM, json=wanted)
    await bot.start()  # uploads keys that the copy knows nothing of
    await refilled(bot)
    await bot.stop()
    shutil.copy(file.with_suffix(".old"), file)
    for _ in range(30):  # the rest have the names that the copy will give to its next ones
        await stranger.call("POST", CLAIM, json=wanted)
    await bot.start()
    await refilled(bot)
    other = await moderator.log_in_again()
    await answers(bot, other, room_id)


async def test_a_new_device_can_read_the_answer(bot: Bot, room: str, moderator: Person) -> None:
    """A device that logged in after the bot's last message reads its next one."""
    await moderator.event(await bot.matrix.send(room, "m.room.message", TEXT, "one"))
    other = await moderator.log_in_again()
    answer = await bot.matrix.send(room, "m.room.message", TEXT, "two")
    assert (await other.event(answer)).body == "hello there"


async def test_who_left_cannot_read_on(bot: Bot, room: str, moderator: Person, stranger: Person) -> None:
    """When a member leaves, or a device is deleted, the next message has a new session."""
    await joins(moderator, stranger, room, bot)
    other = await moderator.log_in_again()

    async def session_of(step: str) -> str:
        event_id = await bot.matrix.send(room, "m.room.message", TEXT, step)
        raw = await moderator.call("GET", "/_matrix/client/v3/rooms/{}/event/{}", room, event_id)
        return str(raw["content"]["session_id"])

    first = await session_of("one")
    assert await session_of("two") == first
    await stranger.leave(room)
    second = await session_of("three")
    assert second != first
    await other.log_out()
    await bot.until(lambda: moderator.user_id in bot.matrix._started().directory._stale, "the change of devices")
    assert await session_of("four") != second


async def test_a_room_once_encrypted_stays_so(bot: Bot, moderator: Person) -> None:
    """A room that becomes encrypted is so from the next message on; what is known of it survives a restart."""
    await bot.start()
    room_id = await bot.joined(moderator)
    plain = await moderator.event(await bot.matrix.send(room_id, "m.room.message", TEXT, "one"))
    assert not plain.encrypted
    await moderator.set_state(room_id, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    assert (await moderator.event(await bot.matrix.send(room_id, "m.room.message", TEXT, "two"))).encrypted
    await bot.stop()
    await bot.start(listen=False)
    assert room_id in bot.matrix._started().encrypted_rooms
