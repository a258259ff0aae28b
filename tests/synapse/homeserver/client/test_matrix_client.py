"""The door to Matrix against a real Synapse: being there, hearing all, speaking once."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from homeserver.client.api import RateLimited
from homeserver.client.credentials import (
    Credentials,
    DeadToken,
    LoginRefused,
    LostKeys,
    StoreLocked,
    WrongAccount,
    keys_file,
)
from homeserver.encryption.cross_signing import IdentityStatus
from removal.incoming import DeviceTrust
from sandbox.homeserver import Homeserver
from tests.conftest import Account, People
from tests.support.bare_client import Bot, is_dead

Bots = Callable[..., Awaitable[Bot]]
TEXT = {"msgtype": "m.text", "body": "hello there"}


@pytest_asyncio.fixture
async def bots(homeserver: Homeserver, people: People, tmp_path: Path) -> AsyncIterator[Bots]:
    """Makes bots (arguments as for `Bot`), each with an account and a directory of its own, not started."""
    made: list[Bot] = []

    async def make(*, on: Homeserver | None = None, account: Account | None = None, **options: Any) -> Bot:
        account = account or await people.account("bot", on=on)
        options = {"password": account.password, **options}
        made.append(Bot((on or homeserver).base_url, account, tmp_path / f"data{len(made)}", **options))
        return made[-1]

    yield make
    for each in made:
        await each.stop()


@pytest.mark.parametrize("encrypted", [False, True])
async def test_it_hears_and_answers(bots: Bots, people: People, encrypted: bool) -> None:
    """A message arrives as it was sent, and the answer can be read, in a plain and in an encrypted room."""
    bot, person = await bots(), await people("moderator")
    await bot.start()
    room_id = await bot.joined(person, encrypted=encrypted)
    heard = await bot.hears(await person.say(room_id, "hello"))
    assert (heard.type, heard.sender, heard.content["body"]) == ("m.room.message", person.user_id, "hello")
    assert heard.encrypted is encrypted
    assert heard.trust is (DeviceTrust.UNSIGNED if encrypted else DeviceTrust.CLEAR)
    assert heard.device_id == (person.device_id if encrypted else None)
    answer = {**TEXT, "m.relates_to": {"m.in_reply_to": {"event_id": heard.event_id}}}
    seen = await person.event(await bot.matrix.send(room_id, "m.room.message", answer, "answer"))
    assert (seen.body, seen.encrypted, seen.replies_to) == ("hello there", encrypted, heard.event_id)


@pytest.mark.parametrize("encrypted", [False, True])
async def test_the_same_transaction_is_one_event_over_restarts(bots: Bots, people: People, encrypted: bool) -> None:
    """Sending again with the same txn_id gives the same event, in the same run and in the next."""
    bot, person = await bots(), await people()
    await bot.start()
    room_id = await bot.joined(person, encrypted=encrypted)
    first = await bot.matrix.send(room_id, "m.room.message", TEXT, "step-1")
    assert await bot.matrix.send(room_id, "m.room.message", TEXT, "step-1") == first
    await bot.stop()
    await bot.start(listen=False)
    assert await bot.matrix.send(room_id, "m.room.message", TEXT, "step-1") == first
    assert await bot.matrix.send(room_id, "m.room.message", TEXT, "step-2") != first


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.slow
async def test_a_gap_is_filled(bots: Bots, people: People, encrypted: bool) -> None:
    """All that was said while the bot was away is heard once and in order, more than one page of it."""
    bot, person = await bots(), await people()
    await bot.start()
    room_id = await bot.joined(person, encrypted=encrypted)
    await bot.stop()
    said = [await person.say(room_id, f"{number}") for number in range(160)]
    bot.heard.clear()
    await bot.start()
    await bot.hears(said[-1])
    assert [event.event_id for event in bot.heard if event.event_id in said] == said
    assert [event.content["body"] for event in bot.heard if event.event_id in said] == [str(n) for n in range(160)]


async def test_what_was_not_stored_is_heard_again(bots: Bots, people: People) -> None:
    """A batch that couldn't be stored comes again after a restart, decrypted, with the keys that came with it."""
    bot, person = await bots(), await people()
    await bot.start()
    room_id = await bot.joined(person, encrypted=True)
    bot.fail = RuntimeError("the disk is full")
    event_id = await person.say(room_id, "hello")
    with pytest.raises(RuntimeError, match="the disk is full"):
        await bot.ended()
    await bot.stop()
    bot.fail = None
    await bot.start()
    heard = await bot.hears(event_id)
    assert heard.content["body"] == "hello"
    assert room_id in [room for room, _ in bot.new_sessions]


async def test_keys_are_told_of_once(bots: Bots, people: People) -> None:
    """A session whose key was told of isn't told of again."""
    bot, person = await bots(), await people()
    await bot.start()
    room_id = await bot.joined(person, encrypted=True)
    await bot.hears(await person.say(room_id, "one"))
    await bot.hears(await person.say(room_id, "two"))
    await bot.stop()
    await bot.start()
    await bot.hears(await person.say(room_id, "three"))
    assert [room for room, _ in bot.new_sessions] == [room_id]


async def test_a_dead_token_ends_it(bots: Bots) -> None:
    """A token that dies while syncing ends the loop with DeadToken."""
    bot = await bots()
    await bot.start()
    await bot.until(lambda: bot.batches > 0, "the first batch")
    await bot.matrix.api.call("POST", "/_matrix/client/v3/logout", json={})
    with pytest.raises(DeadToken, match="M_UNKNOWN_TOKEN"):
        await bot.ended()


async def test_a_dead_token_is_no_obstacle_with_a_password(bots: Bots, people: People) -> None:
    """With a password the bot is the same device again, with the same keys, after its token died."""
    bot, person = await bots(), await people()
    await bot.start()
    before = bot.keys.account.identity_keys
    room_id = await bot.joined(person, encrypted=True)
    await bot.matrix.api.call("POST", "/_matrix/client/v3/logout", json={})
    await bot.stop()
    await bot.start()
    assert bot.keys.account.identity_keys == before
    assert bot.matrix.identity.status is IdentityStatus.OK
    heard = await bot.hears(await person.say(room_id, "still there?"))
    assert heard.content["body"] == "still there?"


async def test_a_dead_token_without_a_password_is_said(bots: Bots, people: People) -> None:
    """At the start a dead token is DeadToken where there is nothing else to log in with."""
    bot = await bots(account=await people.account("bot"), password=None, access_token="syt_dead")
    with pytest.raises(DeadToken):
        await bot.start()


async def test_a_token_is_enough(bots: Bots, people: People) -> None:
    """With an access token and no password it hears, answers, and is signed."""
    account = await people.account("bot")
    bot, person = await bots(account=account, password=None, access_token=account.access_token), await people()
    await bot.start()
    assert bot.matrix.identity.status is IdentityStatus.OK
    room_id = await bot.joined(person, encrypted=True)
    await bot.hears(await person.say(room_id, "hello"))
    await person.event(await bot.matrix.send(room_id, "m.room.message", TEXT, "answer"))


async def test_another_accounts_token_is_refused(bots: Bots, people: People) -> None:
    """A token of another account, or of another device than the settings name, is WrongAccount."""
    account, other = await people.account("bot"), await people.account("other")
    with pytest.raises(WrongAccount, match=other.user_id):
        await (await bots(account=account, access_token=other.access_token)).start()
    with pytest.raises(WrongAccount, match="ELSEWHERE"):
        await (await bots(account=account, access_token=account.access_token, device_id="ELSEWHERE")).start()


async def test_another_accounts_directory_is_refused(bots: Bots, people: People) -> None:
    """A directory that holds another account's credentials is WrongAccount, and stays as it is."""
    bot = await bots()
    await bot.start(listen=False)
    await bot.stop()
    before = (bot.data_dir / "credentials.json").read_text()
    bot.account = await people.account("other")
    with pytest.raises(WrongAccount):
        await bot.start()
    assert (bot.data_dir / "credentials.json").read_text() == before


async def test_a_wrong_password_is_said(bots: Bots) -> None:
    """A wrong password is LoginRefused, and the password stands in no error."""
    bot = await bots(password="not-the-password")
    with pytest.raises(LoginRefused) as refused:
        await bot.start()
    assert "not-the-password" not in str(refused.value)


async def test_lost_keys_are_never_replaced(bots: Bots, people: People) -> None:
    """With the keys gone and only a token, the bot doesn't start, and the homeserver still shows the old keys."""
    account = await people.account("bot")
    bot = await bots(account=account, password=None, access_token=account.access_token)
    matrix = await bot.start(listen=False)
    before = matrix._started().crypto.device_keys()["keys"]
    file = keys_file(bot.data_dir, matrix._started().machine.device_id)
    await bot.stop()
    for each in file.parent.iterdir():
        each.unlink()
    with pytest.raises(LostKeys, match=r"homeserver\.password"):
        await bot.start()
    assert not file.exists()
    observer = await people("observer")
    answer = await observer.call("POST", "/_matrix/client/v3/keys/query", json={"device_keys": {account.user_id: []}})
    assert [each["keys"] for each in answer["device_keys"][account.user_id].values()] == [before]


async def test_lost_keys_make_a_new_device_of_the_same_identity(bots: Bots, people: People) -> None:
    """With a password the bot becomes a new device, signed by the same identity; the old one is gone."""
    bot, person = await bots(), await people()
    await bot.start()
    room_id = await bot.joined(person, encrypted=True)
    old, identity = bot.keys.device_id, bot.matrix.identity.master_key
    await bot.stop()
    for each in keys_file(bot.data_dir, old).parent.iterdir():
        each.unlink()
    await bot.start()
    assert bot.keys.device_id != old
    assert (bot.matrix.identity.status, bot.matrix.identity.master_key) == (IdentityStatus.OK, identity)
    devices = (await bot.matrix.api.call("GET", "/_matrix/client/v3/devices"))["devices"]
    assert old not in [device["device_id"] for device in devices]
    await bot.hears(await person.say(room_id, "hello"))
    await person.event(await bot.matrix.send(room_id, "m.room.message", TEXT, "answer"))


async def test_a_copy_of_the_directory_is_the_same_device(bots: Bots, people: People) -> None:
    """Stop, copy the directory, start elsewhere: the same device, with all its keys."""
    bot, person = await bots(), await people()
    await bot.start()
    room_id = await bot.joined(person, encrypted=True)
    await bot.hears(await person.say(room_id, "before"))
    device_id = bot.keys.device_id
    await bot.stop()
    bot.data_dir = bot.data_dir.rename(bot.data_dir.with_name("elsewhere"))
    await bot.start()
    assert bot.keys.device_id == device_id
    assert (await bot.hears(await person.say(room_id, "after"))).content["body"] == "after"


async def test_one_bot_per_directory(bots: Bots) -> None:
    """A second bot on the same directory is StoreLocked, and may start when the first has gone."""
    bot = await bots()
    await bot.start(listen=False)
    second = bot.make()
    with pytest.raises(StoreLocked):
        await second.start()
    await bot.stop()
    await second.start()
    await second.close()


async def test_nobody_else_can_read_its_files(bots: Bots, people: People) -> None:
    """Directories are 0700 and files 0600, while it runs, whatever the umask."""
    before = os.umask(0)
    try:
        bot, person = await bots(), await people()
        await bot.start()
        room_id = await bot.joined(person, encrypted=True)
        await bot.hears(await person.say(room_id, "hello"))
        found = [bot.data_dir, *bot.data_dir.rglob("*")]
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in found if path.is_file()}
        assert len(modes) >= 5, "credentials, seeds, lock, keys and their -wal"
        assert set(modes.values()) == {0o600}, modes
        assert {stat.S_IMODE(path.stat().st_mode) for path in found if path.is_dir()} == {0o700}
    finally:
        os.umask(before)


async def test_stored_credentials_can_be_read_beside_it(bots: Bots) -> None:
    """`Credentials.load` reads what a running bot stored, and shows no token when printed."""
    bot = await bots()
    await bot.start(listen=False)
    stored = Credentials.load(bot.data_dir)
    assert stored == bot.matrix.credentials
    assert stored is not None
    assert stored.access_token not in repr(stored)


async def test_it_waits_for_a_homeserver_that_is_away(
    bots: Bots, fresh_homeserver: Callable[..., Awaitable[Homeserver]]
) -> None:
    """Started while the homeserver is away, the bot is there when it is back; killed meanwhile, it goes on."""
    homeserver = await fresh_homeserver()
    token = await homeserver.register("bot", "secret")
    bot = await bots(on=homeserver, account=Account(homeserver.user_id("bot"), "bot", "secret", token))
    await homeserver.stop()
    starting = asyncio.create_task(bot.start())
    done, _ = await asyncio.wait({starting}, timeout=0.3)
    assert not done
    await homeserver.start()
    await starting
    await bot.until(lambda: bot.batches > 0, "the first batch")
    await homeserver.kill()
    await homeserver.start()
    await bot.matrix.api.call("POST", "/_matrix/client/v3/createRoom", json={})
    await bot.until(lambda: any(event.type == "m.room.create" for event in bot.heard), "its own room")


async def test_a_rate_limit_is_told(bots: Bots, fresh_homeserver: Callable[..., Awaitable[Homeserver]]) -> None:
    """429 raises RateLimited with the time to wait, and the same transaction goes through later."""
    homeserver = await fresh_homeserver(real_rate_limits=True)
    token = await homeserver.register("bot", "secret")
    bot = await bots(on=homeserver, account=Account(homeserver.user_id("bot"), "bot", "secret", token))
    matrix = await bot.start(listen=False)
    room_id = (await matrix.api.call("POST", "/_matrix/client/v3/createRoom", json={}))["room_id"]
    with pytest.raises(RateLimited) as limited:
        for number in range(40):
            await matrix.send(room_id, "m.room.message", TEXT, f"step-{number}")
    assert limited.value.retry_after is not None
    await asyncio.sleep(limited.value.retry_after)  # the homeserver itself says when
    assert await matrix.send(room_id, "m.room.message", TEXT, "later")


async def test_reactions_are_clear_and_a_second_one_is_no_error(bots: Bots, people: People) -> None:
    """A reaction in an encrypted room can be read by the server, and repeating it changes nothing."""
    bot, person = await bots(), await people()
    await bot.start()
    room_id = await bot.joined(person, encrypted=True)
    event_id = await person.say(room_id, "hello")
    relation = {"rel_type": "m.annotation", "event_id": event_id, "key": "✅"}
    reaction = await bot.matrix.send(room_id, "m.reaction", {"m.relates_to": relation}, "one")
    seen = await person.event(reaction)
    assert (seen.type, seen.encrypted) == ("m.reaction", False)
    assert await bot.matrix.send(room_id, "m.reaction", {"m.relates_to": relation}, "two") == ""
    await bot.matrix.redact(room_id, reaction, "three")
    await person.until(lambda: not person.reactions_on(event_id), what="the reaction withdrawn")


async def test_invitations_and_leaving_are_told(bots: Bots, people: People) -> None:
    """An invitation names who invited; a room the bot was removed from is told as left."""
    bot, person = await bots(), await people()
    await bot.start()
    room_id = await bot.joined(person)
    assert [(each.room_id, each.inviter) for each in bot.invites] == [(room_id, person.user_id)]
    await person.kick(room_id, bot.user_id)
    await bot.until(lambda: room_id in bot.left, "its removal")
    await bot.matrix.forget(room_id)
    other = await person.create_room(invite=[bot.user_id])
    await bot.until(lambda: len(bot.invites) == 2, "the second invitation")
    await bot.matrix.leave(other)
    await bot.until(lambda: other in bot.left, "the declined invitation")


async def test_state_events_and_redactions_are_told(bots: Bots, people: People) -> None:
    """Changes of a room come with their state_key, and a redaction with what it redacts."""
    bot, person = await bots(), await people()
    await bot.start()
    room_id = await bot.joined(person)
    level = await bot.hears(await person.set_state(room_id, "m.room.join_rules", {"join_rule": "public"}))
    assert (level.type, level.state_key, level.encrypted) == ("m.room.join_rules", "", False)
    said = await person.say(room_id, "hello")
    redaction = await bot.hears(await person.redact(room_id, said))
    assert (redaction.type, redaction.redacts) == ("m.room.redaction", said)


async def test_stopping_takes_a_moment(bots: Bots) -> None:
    """Setting `stop` ends the loop although the homeserver would be waited for half a minute more."""
    bot = await bots()
    await bot.start()
    await bot.until(lambda: bot.batches > 0, "the first batch")
    async with asyncio.timeout(5):
        await bot.stop()


async def test_the_first_batch_ever_says_so(bots: Bots) -> None:
    """Only a sync without a token is the first one."""
    bot = await bots()
    await bot.start(listen=False)
    batches = []
    stop = asyncio.Event()

    async def store(batch: Any) -> None:
        batches.append(batch)
        if len(batches) == 1:
            await bot.matrix.api.call("POST", "/_matrix/client/v3/createRoom", json={})
        else:
            stop.set()

    await bot.matrix.sync_forever(None, store, stop)
    assert [batch.first for batch in batches] == [True, False]
    assert bot.matrix.last_synced_ts is not None
    assert not await is_dead(bot.matrix)


async def test_nothing_secret_is_logged(bots: Bots, people: People, caplog: pytest.LogCaptureFixture) -> None:
    """Neither password, tokens, seeds nor session keys appear in any log, at the finest level, of our code or nio's."""
    caplog.set_level("DEBUG")
    bot, person = await bots(), await people()
    await bot.start()
    room_id = await bot.joined(person, encrypted=True)
    await bot.hears(await person.say(room_id, "hello"))
    await bot.matrix.send(room_id, "m.room.message", TEXT, "answer")
    credentials = bot.matrix.credentials
    assert credentials is not None
    session = next(iter(bot.keys.outbound_group_sessions.values()))
    secrets = [bot.account.password, credentials.access_token, session.session_key]
    secrets += json.loads((bot.data_dir / "cross_signing.json").read_text()).values()
    await bot.stop()
    account = await people.account("other")
    with pytest.raises(WrongAccount) as wrong:
        await (await bots(access_token=account.access_token)).start()
    said = caplog.text + str(wrong.value) + repr(credentials)
    assert "lethe.matrix" in said
    assert [secret for secret in [*secrets, account.access_token] if secret in said] == []
