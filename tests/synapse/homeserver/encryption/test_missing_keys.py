"""Keys that come late, or not at all."""

from __future__ import annotations

from removal.incoming import DeviceTrust
from sandbox.client import Person
from tests.support.bare_client import Bot
from tests.support.crafted_messages import Crafter, answers, group_session, text
from tests.synapse.conftest import settled


async def test_a_key_that_comes_later_opens_the_event(bot: Bot, room: str, moderator: Person) -> None:
    """An event before its key is undecryptable; the key's coming is told, and then it can be read, now and later."""
    crafter, session = Crafter(moderator, bot), group_session()
    key = session.session_key
    heard = await bot.hears(await crafter.say(session, room, text("hello")))
    assert heard.undecryptable
    assert (heard.type, heard.trust, heard.encrypted) == ("m.room.encrypted", DeviceTrust.CLEAR, False)
    assert await bot.matrix.decrypt(heard) == heard
    await crafter.send_key(room, session, key=key)
    await bot.until(lambda: (room, session.id) in bot.new_sessions, "the key")
    read = await bot.matrix.decrypt(heard)
    assert read is not None
    assert (read.content["body"], read.trust, read.encrypted) == ("hello", DeviceTrust.UNSIGNED, True)
    await bot.stop()
    await bot.start(listen=False)
    assert await bot.matrix.decrypt(heard) == read


async def test_a_key_from_further_back_opens_earlier_events(bot: Bot, room: str, moderator: Person) -> None:
    """A key that reaches further back than the one there was opens what couldn't be read before it."""
    crafter, session = Crafter(moderator, bot), group_session()
    early_key = session.session_key
    early = await bot.hears(await crafter.say(session, room, text("early")))
    await crafter.send_key(room, session)
    late = await bot.hears(await crafter.say(session, room, text("late")))
    assert (early.undecryptable, late.undecryptable) == (True, False)
    assert await bot.matrix.decrypt(early) == early
    await crafter.send_key(room, session, key=early_key)
    await bot.until(lambda: bot.new_sessions.count((room, session.id)) == 2, "the earlier key")
    read = await bot.matrix.decrypt(early)
    assert read is not None
    assert read.content["body"] == "early"


async def test_a_channel_over_a_lost_one_time_key_is_mended(bot: Bot, room: str, moderator: Person) -> None:
    """When somebody writes with a one-time key whose private half is gone, the bot opens a channel itself."""
    await answers(bot, moderator, room)
    other = await moderator.log_in_again()
    crafter = Crafter(other, bot)
    await crafter.channel()  # claims a key
    account = bot.keys.account._account
    before = account.pickle(b"x" * 32)
    account.generate_one_time_keys(account.max_number_of_one_time_keys * 150)  # so many that the oldest are forgotten
    assert account.pickle(b"x" * 32) != before
    account.mark_keys_as_published()
    own_key = crafter.encryption.identity_keys["curve25519"]
    await bot.matrix._started().directory.refresh([moderator.user_id], anew=True)
    await crafter.send_olm("m.dummy", {})

    async def mended() -> bool:
        return bool(bot.keys.session_store[own_key])

    await settled(mended)
    await answers(bot, other, room)


async def test_a_broken_channel_is_mended(bot: Bot, room: str, moderator: Person) -> None:
    """When a message of a known channel can't be read, the bot opens a new one, so that later keys come through."""
    await answers(bot, moderator, room)
    crafter = Crafter(moderator, bot)
    own_key = crafter.encryption.identity_keys["curve25519"]
    channels = bot.keys.session_store[own_key]
    before = {channel.id for channel in channels}
    for channel in channels:
        channel.creation_time = channel.creation_time.replace(year=2020)  # no channel younger than an hour is mended
    await crafter.send_olm("m.dummy", {}, spoil=True)

    async def mended() -> bool:
        return bool({channel.id for channel in channels} - before)

    await settled(mended)
    await answers(bot, moderator, room)
