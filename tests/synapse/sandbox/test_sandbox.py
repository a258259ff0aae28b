"""The throw-away homeserver and its people are what the other tests stand on; here they are tested themselves."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sandbox.homeserver import CallFailed, Homeserver
from sandbox.template import template_database
from tests.conftest import People

FreshHomeserver = Callable[..., Awaitable[Homeserver]]


async def test_two_people_read_each_other_in_an_encrypted_room(people: People) -> None:
    """Messages travel encrypted, are read on both sides, and the homeserver sees only ciphertext."""
    moderator, member = await people("moderator"), await people("member")
    room = await moderator.create_room(encrypted=True, invite=[member.user_id])
    await member.join(await member.invited_to(by=moderator.user_id))

    asked = await moderator.say(room, "who is there?")
    seen = await member.event(asked)
    answered = await member.say(room, "me", reply_to=asked)
    reply = await moderator.reply_to(asked)

    assert (seen.body, seen.encrypted, seen.sender) == ("who is there?", True, moderator.user_id)
    assert (reply.event_id, reply.body, reply.encrypted) == (answered, "me", True)
    stored = await moderator.call("GET", "/_matrix/client/v3/rooms/{}/event/{}", room, asked)
    assert stored["type"] == "m.room.encrypted"
    assert "who is there?" not in str(stored)


async def test_a_message_sent_before_the_join_is_readable(people: People) -> None:
    """Keys go to those invited too, so the first words of a direct message aren't lost."""
    person, other = await people(), await people("other")
    room = await person.dm(other.user_id)
    first = await person.say(room, "hello")
    await other.join(await other.invited_to(by=person.user_id))
    assert (await other.event(first)).body == "hello"


async def test_edit_reaction_and_redaction_are_seen(people: People) -> None:
    """An edit replaces the text of its message, a reaction shows until it is withdrawn, in an encrypted room."""
    moderator, member = await people("moderator"), await people("member")
    room = await moderator.create_room(encrypted=True, invite=[member.user_id])
    await member.join(room)
    message = await moderator.say(room, "frist", "<b>frist</b>")
    await member.event(message)

    await moderator.edit(room, message, "first", "<b>first</b>")
    now = await member.edited(message, "first")
    reaction = await member.react(room, message, "✅")
    await moderator.reacted(message, "✅", by=member.user_id)
    await member.redact(room, reaction)
    await moderator.until(lambda: not moderator.reactions_on(message), what="the reaction withdrawn")

    assert (now.body, now.formatted_body, now.edited) == ("first", "<b>first</b>", True)
    assert [message.body for message in member.messages(room)] == ["first"]


async def test_only_the_author_can_edit(people: People) -> None:
    """Somebody else's edit of a message changes nothing that is shown."""
    moderator, member = await people("moderator"), await people("member")
    room = await moderator.create_room(invite=[member.user_id])
    await member.join(room)
    message = await moderator.say(room, "mine")
    forged = await member.edit(room, message, "yours")
    await moderator.event(forged)
    assert [each.body for each in moderator.messages(room)] == ["mine"]


async def test_a_second_device_reads_and_is_read(people: People) -> None:
    """A device that logged in a moment ago gets the keys of what is sent from then on, and what it says is read."""
    moderator, member = await people("moderator"), await people("member")
    room = await moderator.create_room(encrypted=True, invite=[member.user_id])
    await member.join(room)
    await member.event(await moderator.say(room, "before"))

    second = await member.log_in_again()
    said = await moderator.say(room, "after")
    assert second.device_id != member.device_id
    assert (await second.event(said)).body == "after"
    assert (await member.event(said)).body == "after"
    assert (await moderator.event(await second.say(room, "from both"))).device_id == second.device_id


async def test_what_cannot_be_decrypted_is_seen_as_such(people: People) -> None:
    """A message without its key is visible as undecryptable, and doesn't stop what comes after it."""
    moderator, member = await people("moderator"), await people("member")
    room = await moderator.create_room(encrypted=True, invite=[member.user_id])
    await member.join(room)
    content = {
        "algorithm": "m.megolm.v1.aes-sha2",
        "ciphertext": "AwgAEnACgAkLmt6qF84IK++J7UDH2Za1YVchHyprqTqsg",
        "device_id": "NOSUCH",
        "sender_key": "x" * 43,
        "session_id": "y" * 43,
    }
    broken = await moderator.send_clear(room, "m.room.encrypted", content)
    await moderator.send_clear(room, "m.room.encrypted", {"algorithm": 7, "ciphertext": []})
    fine = await moderator.say(room, "fine")

    await member.event(fine)
    event = member.timeline.get(broken)
    assert event is not None
    assert (event.undecryptable, event.type) == (True, "m.room.encrypted")


async def test_a_bad_to_device_message_does_not_end_the_sync(people: People) -> None:
    """Rubbish sent to a device is dropped; messages are read afterwards."""
    member, stranger = await people("member"), await people("stranger")
    assert member._encryption is not None
    rubbish = {
        "algorithm": "m.olm.v1.curve25519-aes-sha2",
        "sender_key": "not base64!",
        "ciphertext": {member._encryption.identity_keys["curve25519"]: {"type": 0, "body": "not base64!"}},
    }
    path = "/_matrix/client/v3/sendToDevice/{}/{}"
    for content in (rubbish, {"algorithm": None}, {}):
        messages = {"messages": {member.user_id: {member.device_id: content}}}
        await stranger.call("PUT", path, "m.room.encrypted", f"txn-{content!r}"[:40], json=messages)
    room = await stranger.dm(member.user_id)
    said = await stranger.say(room, "still there?")
    await member.join(room)
    assert (await member.event(said)).body == "still there?"


async def test_one_time_keys_are_refilled(people: People) -> None:
    """However many senders take a key each, the device uploads new ones, from 0 as well."""
    member, taker = await people("member"), await people("taker")
    wanted = {"one_time_keys": {member.user_id: {member.device_id: "signed_curve25519"}}}

    async def claim() -> bool:
        answer = await taker.call("POST", "/_matrix/client/v3/keys/claim", json=wanted)
        return bool(answer["one_time_keys"].get(member.user_id))

    claimed = 0
    while claimed < 120 and await claim():
        claimed += 1
    room = await taker.dm(member.user_id)
    await member.join(room)
    await member.event(await taker.send_clear(room, "m.room.message", {"msgtype": "m.text", "body": "a sync goes by"}))

    assert claimed > 0
    async with asyncio.timeout(30):
        while not await claim():  # noqa: ASYNC110 - only asking tells
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_restart_keeps_data_and_port(fresh_homeserver: FreshHomeserver, people: People, end: str) -> None:
    """Accounts, rooms and keys survive an orderly stop and a SIGKILL, and clients go on by themselves."""
    server = await fresh_homeserver()
    moderator, member = await people("moderator", on=server), await people("member", on=server)
    room = await moderator.create_room(encrypted=True, invite=[member.user_id])
    await member.join(room)
    await member.event(await moderator.say(room, "before"))
    address = server.base_url

    await (server.stop() if end == "stop" else server.kill())
    assert server.pid is None
    await server.start()

    assert server.base_url == address
    assert (await member.event(await moderator.say(room, "after"))).body == "after"


async def test_the_template_leaves_no_background_update(fresh_homeserver: FreshHomeserver) -> None:
    """An account can be reactivated right after the start, which needs the background updates to be through."""
    server = await fresh_homeserver()
    admin, _ = await server.register("admin", "admin-password", admin=True), await server.register("leaver", "password")
    status = await server.call("GET", "/_synapse/admin/v1/background_updates/status", token=admin)
    assert status["current_updates"] == {}
    path = "/_synapse/admin/v2/users/@leaver:lethe.test"
    for deactivated in (True, False):
        body = {"deactivated": deactivated, "password": "new-password"}
        assert (await server.call("PUT", path, token=admin, json=body))["deactivated"] is deactivated


async def test_several_workers_make_one_template(tmp_path: Path) -> None:
    """Processes that ask for a template at the same time get the same whole one."""
    program = (
        "import asyncio, pathlib, sys; from sandbox.template import template_database as t;"
        "p = asyncio.run(t(pathlib.Path(sys.argv[1]))); print(p.stat().st_ino)"
    )
    workers = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(tmp_path), stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    inodes = {(await worker.communicate())[0].strip() for worker in workers}
    template = await template_database(tmp_path)
    assert inodes == {str(template.stat().st_ino).encode()}
    left = sorted(tmp_path.iterdir())  # noqa: ASYNC240 - a directory of two files
    assert [path.suffix for path in left] == [".db", ".lock"]


async def test_synapse_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    """No Synapse is left behind by a test run that was killed."""
    program = (
        "import asyncio, os, pathlib, signal, sys; from sandbox.homeserver import Homeserver\n"
        "async def main():\n"
        "    server = Homeserver(pathlib.Path(sys.argv[1])); await server.start(); print(server.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(tmp_path), stdout=subprocess.PIPE)
    said, _ = await parent.communicate()
    pid = int(said)
    async with asyncio.timeout(10):
        while _alive(pid):  # noqa: ASYNC110 - it isn't our child, so it can't be waited for
            await asyncio.sleep(0.02)


def _alive(pid: int) -> bool:
    """Whether a process runs; one that ended and that nobody has waited for yet (a zombie) doesn't."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z")


async def test_real_rate_limits_can_be_asked_for(fresh_homeserver: FreshHomeserver, homeserver: Homeserver) -> None:
    """With Synapse's own limits a burst of messages is answered with 429; by default it isn't."""

    async def burst(server: Homeserver) -> None:
        token = await server.register("talker", "password")
        room = (await server.call("POST", "/_matrix/client/v3/createRoom", token=token, json={}))["room_id"]
        for number in range(15):
            path = f"/_matrix/client/v3/rooms/{room}/send/m.room.message/{number}"
            await server.call("PUT", path, token=token, json={"msgtype": "m.text", "body": "hello"})

    await burst(homeserver)
    with pytest.raises(CallFailed) as refused:
        await burst(await fresh_homeserver(real_rate_limits=True))
    assert (refused.value.status, refused.value.errcode) == (429, "M_LIMIT_EXCEEDED")


async def test_a_deactivated_person_is_signed_out(people: People, homeserver: Homeserver) -> None:
    """The client notices that its token is dead, and logging in is refused."""
    admin, leaver = await people.account("admin", admin=True), await people("leaver")
    path = f"/_synapse/admin/v1/deactivate/{leaver.user_id}"
    await homeserver.call("POST", path, token=admin.access_token, json={"erase": False})
    await leaver.until(lambda: leaver.signed_out, what="its end")
    with pytest.raises(CallFailed) as refused:
        await leaver.log_in_again()
    assert refused.value.status == 403
