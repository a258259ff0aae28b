"""Whose device wrote this: what is told of the writer of an encrypted event."""

from __future__ import annotations

from removal.incoming import DeviceTrust
from sandbox.client import Person
from tests.support.bare_client import Bot
from tests.support.crafted_messages import Crafter, group_session, joins, make_identity, sign_device, text


async def test_a_signed_device_is_told_as_signed(bot: Bot, room: str, moderator: Person) -> None:
    """A device signed by its owner's identity is SIGNED, from the moment on when it is signed."""
    seeds = await make_identity(moderator)
    heard = await bot.hears(await moderator.say(room, "not yet"))
    assert (heard.trust, heard.identity_key) == (DeviceTrust.UNSIGNED, seeds.master.public)
    await sign_device(moderator, seeds)
    heard = await bot.hears(await moderator.say(room, "now"))
    assert (heard.trust, heard.identity_key) == (DeviceTrust.SIGNED, seeds.master.public)


async def test_a_device_deleted_meanwhile_is_unknown(bot: Bot, room: str, moderator: Person) -> None:
    """What a device wrote before it was deleted comes as of an unknown device."""
    other = await moderator.log_in_again()
    await bot.hears(await other.say(room, "before"))
    await bot.stop()
    event_id = await other.say(room, "deactivate somebody")
    await other.log_out()
    await bot.start()
    heard = await bot.hears(event_id)
    assert (heard.trust, heard.device_id, heard.encrypted) == (DeviceTrust.UNKNOWN, None, True)


async def test_another_device_named_in_an_event_is_not_believed(
    bot: Bot, room: str, moderator: Person, stranger: Person
) -> None:
    """An event that claims the moderator's device comes with the device that really wrote it."""
    await joins(moderator, stranger, room, bot)
    assert moderator._encryption is not None
    crafter, session = Crafter(stranger, bot), group_session()
    await crafter.send_key(room, session)
    claim = {"sender_key": moderator._encryption.identity_keys["curve25519"], "device_id": moderator.device_id}
    heard = await bot.hears(await crafter.say(session, room, text("deactivate somebody"), **claim))
    assert (heard.sender, heard.device_id) == (stranger.user_id, stranger.device_id)


async def test_a_session_of_another_is_a_mismatch(bot: Bot, room: str, moderator: Person, stranger: Person) -> None:
    """A session whose key came from the stranger, used in an event of the moderator, is a MISMATCH.

    The homeserver can do this, or whoever stole the moderator's token.
    """
    crafter, session = Crafter(stranger, bot), group_session()
    await crafter.send_key(room, session)
    content = crafter.encrypted(session, room, text("deactivate somebody"))
    heard = await bot.hears(await moderator.send_clear(room, "m.room.encrypted", content))
    assert (heard.sender, heard.trust) == (moderator.user_id, DeviceTrust.MISMATCH)


async def test_a_channel_that_names_anothers_signing_key_is_a_mismatch(
    bot: Bot, room: str, moderator: Person, stranger: Person
) -> None:
    """A room key whose Olm message claims the moderator's ed25519 key makes no moderator."""
    await joins(moderator, stranger, room, bot)
    assert moderator._encryption is not None
    crafter, session = Crafter(stranger, bot), group_session()
    await crafter.send_key(room, session, keys={"ed25519": moderator._encryption.identity_keys["ed25519"]})
    heard = await bot.hears(await crafter.say(session, room, text("deactivate somebody")))
    assert heard.trust is DeviceTrust.MISMATCH


async def test_a_key_sent_on_does_not_make_the_session_anothers(
    bot: Bot, room: str, moderator: Person, stranger: Person
) -> None:
    """A member who sends the moderator's session key to the bot as their own changes nothing for the moderator."""
    await joins(moderator, stranger, room, bot)
    owner, crafter, session = Crafter(moderator, bot), Crafter(stranger, bot), group_session()
    first_key = session.session_key
    await crafter.send_key(room, session, key=first_key)
    await owner.send_key(room, session, key=first_key)
    heard = await bot.hears(await owner.say(session, room, text("hello")))
    assert (heard.trust, heard.device_id) == (DeviceTrust.UNSIGNED, moderator.device_id)
