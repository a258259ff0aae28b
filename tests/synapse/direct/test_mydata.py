"""`!mydata`: a person gets what the server holds about them, as a file that only they can read, for a day."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any

import aiohttp
import pytest
from nio.crypto.attachments import decrypt_attachment

from homeserver.client.api import Unreachable
from homeserver.client.files import Files
from sandbox.timeline import Seen
from tests.support.direct_room import SCHEDULED, SHOWN, TYPE_IT, MakeScene, Talk, states
from tests.support.in_process_bot import DAY, HOUR, MakeInside


async def sent(talk: Talk) -> Seen:
    """The message with the file."""
    return await talk.person.wait_for(
        lambda e: e.room_id == talk.room and e.content.get("msgtype") == "m.file", what="the file"
    )


async def download(talk: Talk, file: Seen | str) -> tuple[int, bytes]:
    """Status and bytes of a file, or of a content URI, as the server holds them."""
    uri = file if isinstance(file, str) else file.content["file"]["url"]
    server, media_id = uri.removeprefix("mxc://").split("/")
    url = f"{talk.person.base_url}/_matrix/client/v1/media/download/{server}/{media_id}"
    headers = {"Authorization": f"Bearer {talk.person.access_token}"}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, await answer.read()


def opened(file: Seen, sealed: bytes) -> dict[str, Any]:
    """What is in it."""
    keys = file.content["file"]
    clear = decrypt_attachment(sealed, keys["key"]["k"], keys["hashes"]["sha256"], keys["iv"])
    return dict(json.loads(clear))


async def test_everything_the_server_holds_in_a_file_for_a_day(inside: MakeInside) -> None:
    """Profile, devices, rooms, third-party ids, media, account data: encrypted on the server, announced with a mention,
    once a day, and taken off the server after 24 hours."""
    stage, bot = await inside()
    person = await stage.person("curious")
    await person.call(
        "PUT", "/_matrix/client/v3/profile/{}/displayname", person.user_id, json={"displayname": "Curious"}
    )
    address = f"{secrets.token_hex(4)}@example.org"
    await stage.admin(
        "PUT", f"v2/users/{person.user_id}", json={"threepids": [{"medium": "email", "address": address}]}
    )
    await person.call("POST", "/_matrix/media/v3/upload", json={"a": "file"})
    await person.call(
        "PUT", "/_matrix/client/v3/user/{}/account_data/org.example", person.user_id, json={"kept": "this"}
    )
    talk = await Talk.begin(stage, person)
    question = await talk.ask("!mydata", TYPE_IT)
    assert "Nothing is removed" in question.body
    await talk.ask("@somebody-else:lethe.test", "isn't your Matrix ID")
    await talk.say(person.user_id)
    file = await sent(talk)
    notice = await talk.hears("Here is your data")
    assert notice.content["m.mentions"] == {"user_ids": [person.user_id]} and notice.content["msgtype"] == "m.text"
    assert "your client can export those" in notice.body
    status, sealed = await download(talk, file)
    assert file.encrypted and status == 200 and b"user_id" not in sealed
    data = opened(file, sealed)
    assert data["user_id"] == person.user_id and data["profile"]["displayname"] == "Curious"
    assert [each["device_id"] for each in data["devices"]].count(person.device_id) == 1
    assert data["rooms"][talk.room] == "join"
    assert data["third_party_ids"] == [{"medium": "email", "address": address}]
    assert len(data["media"]) == 1
    assert data["account_data"]["global"]["org.example"] == {"kept": "this"}
    assert data["account"]["created_ts"]

    await bot.pass_time(DAY - HOUR)
    assert (await download(talk, file))[0] == 200
    await talk.ask("!mydata", "ask again tomorrow")
    await bot.pass_time(HOUR)
    async with asyncio.timeout(30):
        while (await download(talk, file))[0] != 404:  # noqa: ASYNC110 - nothing tells us when it is
            await asyncio.sleep(0.1)
    await talk.ask("!mydata", TYPE_IT)
    assert not (await stage.user(person.user_id))["deactivated"]


async def test_a_file_is_taken_off_after_a_stop_too(inside: MakeInside) -> None:
    """A bot that was down when the day was over deletes the file once it is back."""
    stage, bot = await inside()
    talk = await Talk.begin(stage, await stage.person("curious"))
    await talk.ask("!mydata", TYPE_IT)
    await talk.say(talk.person.user_id)
    file = await sent(talk)
    await talk.hears("Here is your data")
    await bot.stop()
    bot.clock.ahead += 2 * DAY
    await bot.start()
    await bot.pass_time(0)
    assert (await download(talk, file))[0] == 404


async def test_a_crash_after_the_upload_leaves_no_file(inside: MakeInside, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the answer to an upload is never heard, the file that was left is deleted, and the person gets another."""
    stage, bot = await inside()
    talk = await Talk.begin(stage, await stage.person("curious"))
    left: list[str] = []
    real = Files.upload

    async def never_heard(files: Files, uri: str, *args: Any, **options: Any) -> dict[str, Any]:
        content = await real(files, uri, *args, **options)
        if not left:
            left.append(uri)
            raise Unreachable("the connection was lost")
        return content

    monkeypatch.setattr(Files, "upload", never_heard)
    await talk.ask("!mydata", TYPE_IT)
    await talk.say(talk.person.user_id)
    file = await sent(talk)
    await talk.hears("Here is your data")
    assert left and file.content["file"]["url"] != left[0]
    await bot.pass_time(0)
    assert (await download(talk, left[0]))[0] == 404
    assert (await download(talk, file))[0] == 200


async def test_only_in_an_encrypted_conversation(scene: MakeScene) -> None:
    """In a direct message that isn't encrypted nothing is asked and nothing is sent."""
    stage = await scene()
    talk = await Talk.begin(stage, await stage.person("curious"), encrypted=False)
    await talk.ask("!mydata", "only in an encrypted conversation")
    await talk.ask(talk.person.user_id, "!deactivate")
    assert not [e for e in talk.person.timeline.events if e.content.get("msgtype") == "m.file"]


async def test_the_later_question_is_the_one_that_is_answered(scene: MakeScene) -> None:
    """Where a removal and `!mydata` both wait for the Matrix ID, it answers what was asked last: nobody who wants their
    data confirms a removal by it, nor the other way round."""
    stage = await scene()
    talk = await Talk.begin(stage, await stage.person("curious"))
    await talk.agreed()
    await talk.ask("!mydata", TYPE_IT)
    await talk.say(talk.person.user_id)
    await talk.hears("Here is your data")
    assert states(stage) == ["awaiting_matrix_id"]
    await talk.say(talk.person.user_id)
    await talk.hears(SCHEDULED)

    other = await Talk.begin(stage, await stage.person("curious"))
    await other.ask("!mydata", TYPE_IT)
    await other.say("!deactivate --erase --keep-media")
    await other.react(await other.hears(SHOWN), "✅")
    await other.hears(TYPE_IT)
    await other.say(other.person.user_id)
    await other.hears(SCHEDULED)
    assert not [e for e in other.person.timeline.events if e.content.get("msgtype") == "m.file"]
