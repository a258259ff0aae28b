"""What an account leaves behind, messages and files, and how the admin API takes it away: against a real Synapse."""

from __future__ import annotations

from collections.abc import Callable

import aiohttp
import pytest

from homeserver.accounts.errors import already_redacting
from homeserver.accounts.models import REDACTION, RedactStatus, ScheduledTask, TaskState
from homeserver.accounts.synapse import Synapse
from homeserver.client.api import Api, NotFound, Refused
from sandbox.homeserver import Homeserver
from tests.conftest import Account, People
from tests.synapse.conftest import settled

Clients = Callable[[Account], Api]


async def talkative(own: Api, room_version: str, messages: int) -> tuple[str, list[str]]:
    """Makes a room and says something there so many times."""
    body = {"room_version": room_version, "preset": "public_chat"}
    room = str((await own.call("POST", "/_matrix/client/v3/createRoom", json=body))["room_id"])
    said = []
    for number in range(messages):
        path = "/_matrix/client/v3/rooms/{}/send/m.room.message/{}"
        answer = await own.call("PUT", path, room, f"t{number}", json={"msgtype": "m.text", "body": f"spam {number}"})
        said.append(str(answer["event_id"]))
    return room, said


async def readable(reader: Api, room: str, event_ids: list[str]) -> list[bool]:
    """Which of these messages still have a text."""
    path = "/_matrix/client/v3/rooms/{}/event/{}"
    return ["body" in (await reader.call("GET", path, room, each))["content"] for each in event_ids]


async def ended(synapse: Synapse, redact_id: str) -> RedactStatus:
    """Waits for the end of a redaction."""
    last: list[RedactStatus] = []

    async def over() -> bool:
        status = await synapse.redact_status(redact_id)
        assert status is not None
        last.append(status)
        return status.status.over

    await settled(over)
    return last[-1]


@pytest.mark.parametrize("version", ["10", "11", "12"])
async def test_messages_are_redacted_after_deactivation_too(
    synapse: Synapse, client: Clients, people: People, version: str
) -> None:
    """With rooms named, a redaction reaches those that the account has left; its task is found by the account."""
    spammer, reader = await people.account("spammer"), await people.account()
    room, said = await talkative(client(spammer), version, 3)
    await client(reader).call("POST", "/_matrix/client/v3/join/{}", room, json={})
    await synapse.deactivate(spammer.user_id, erase=False)

    async def left() -> bool:
        return await synapse.joined_rooms(spammer.user_id) == []

    await settled(left)
    assert await readable(client(reader), room, said) == [True] * 3
    assert await synapse.scheduled_tasks(spammer.user_id, REDACTION) == []

    redact_id = await synapse.redact(spammer.user_id, [room], reason="spam")
    status = await ended(synapse, redact_id)

    assert status.succeeded
    assert status.failed_redactions == {}
    assert await readable(client(reader), room, said) == [False] * 3
    tasks = await synapse.scheduled_tasks(spammer.user_id, REDACTION)
    assert [(task.id, task.status) for task in tasks] == [(redact_id, TaskState.COMPLETE)]


@pytest.mark.parametrize(("version", "fails"), [("10", True), ("11", False), ("12", False)])
async def test_complete_is_not_success(
    synapse: Synapse, client: Clients, people: People, version: str, fails: bool
) -> None:
    """Below version 11 a suspended sender's redactions all fail; the task calls itself complete, we don't."""
    spammer = await people.account("spammer")
    room, said = await talkative(client(spammer), version, 2)
    await synapse.suspend(spammer.user_id, True)
    status = await ended(synapse, await synapse.redact(spammer.user_id, [room]))
    assert status.status is TaskState.COMPLETE
    assert status.succeeded is not fails
    assert status.failed_redactions is not None
    assert (set(said) <= set(status.failed_redactions)) is fails

    if fails:  # lifting the suspension for this step mends it
        await synapse.suspend(spammer.user_id, False)
        assert (await ended(synapse, await synapse.redact(spammer.user_id, [room]))).succeeded


async def test_the_limit_is_the_newest_of_each_room(synapse: Synapse, client: Clients, people: People) -> None:
    """A limit leaves older messages alone, so it has to be given where there are more than the usual 1000."""
    spammer = await people.account("spammer")
    own = client(spammer)
    room, said = await talkative(own, "11", 4)
    assert (await ended(synapse, await synapse.redact(spammer.user_id, [room], limit=2))).succeeded
    assert await readable(own, room, said) == [True, True, False, False]


async def test_a_redaction_that_nobody_started_is_unknown(synapse: Synapse, people: People) -> None:
    """An id that the homeserver has forgotten is None, and no rooms is a mistake: it would take others."""
    person = await people.account()
    assert await synapse.redact_status("nothing") is None
    assert await synapse.redact_status("a/../b?c") is None
    with pytest.raises(ValueError):
        await synapse.redact(person.user_id, [])
    assert await synapse.scheduled_tasks(person.user_id, REDACTION) == []


async def test_a_redaction_that_fails_is_not_complete(synapse: Synapse, people: People) -> None:
    """A room that the homeserver doesn't know ends the whole task: failed, with a reason, no success."""
    person = await people.account()
    status = await ended(synapse, await synapse.redact(person.user_id, ["!nowhere:lethe.test"]))
    assert (status.status, status.succeeded) == (TaskState.FAILED, False)
    assert status.error


async def test_a_second_redaction_is_refused_recognisably(synapse: Synapse, client: Clients, people: People) -> None:
    """While one is under way the homeserver refuses another; whoever asked can tell this from other refusals."""
    spammer = await people.account("spammer")
    room, _ = await talkative(client(spammer), "11", 60)
    first = await synapse.redact(spammer.user_id, [room])

    async def active_or_over() -> bool:
        status = await synapse.redact_status(first)
        assert status is not None
        return status.status is not TaskState.SCHEDULED

    await settled(active_or_over)
    with pytest.raises(Refused) as refused:  # sixty redactions take a second or two
        await synapse.redact(spammer.user_id, [room])
    assert already_redacting(refused.value)
    assert (await ended(synapse, first)).succeeded
    tasks: list[ScheduledTask] = await synapse.scheduled_tasks(spammer.user_id, REDACTION)
    assert [task.id for task in tasks] == [first]


async def upload(session: aiohttp.ClientSession, homeserver: Homeserver, person: Account, files: int) -> list[str]:
    """Uploads small files and gives their ids."""
    found = []
    for number in range(files):
        headers = {"Authorization": f"Bearer {person.access_token}", "Content-Type": "text/plain"}
        url = f"{homeserver.base_url}/_matrix/media/v3/upload?filename=f{number}.txt"
        async with session.post(url, data=f"{person.localpart} {number}".encode(), headers=headers) as answer:
            found.append(str((await answer.json())["content_uri"]).rpartition("/")[2])
    return found


async def test_more_than_a_hundred_files_go_in_several_calls(
    synapse: Synapse, homeserver: Homeserver, session: aiohttp.ClientSession, people: People
) -> None:
    """One call deletes 100; repeating until 0 deletes all, after deactivation too; another account's files stay."""
    spammer, other = await people.account("spammer"), await people.account()
    uploaded = await upload(session, homeserver, spammer, 205)
    await upload(session, homeserver, other, 1)
    assert await synapse.media_total(spammer.user_id) == 205
    listed = await synapse.media(spammer.user_id)
    assert sorted(each.media_id for each in listed) == sorted(uploaded)
    assert {(each.media_type, each.quarantined_by) for each in listed} == {("text/plain", None)}

    await synapse.deactivate(spammer.user_id, erase=True)
    deleted = [await synapse.delete_media(spammer.user_id) for _ in range(4)]

    assert deleted == [100, 100, 5, 0]
    assert await synapse.media_total(spammer.user_id) == 0
    assert await synapse.media(spammer.user_id) == []
    assert await synapse.media_total(other.user_id) == 1
    with pytest.raises(NotFound):
        await synapse.delete_media("@nobody-was-here:lethe.test")


async def test_quarantined_files_stay_but_cannot_be_fetched(
    synapse: Synapse, homeserver: Homeserver, session: aiohttp.ClientSession, admin: Account, people: People
) -> None:
    """Quarantine names who did it on each file and counts each once; protected files are passed over, and show it."""
    spammer = await people.account("spammer")
    first, second = await upload(session, homeserver, spammer, 2)
    protect = Api(session, homeserver.base_url, admin.access_token)
    await protect.call("POST", "/_synapse/admin/v1/media/protect/{}", second)

    assert await synapse.quarantine_media(spammer.user_id) == 1
    assert await synapse.quarantine_media(spammer.user_id) == 0

    media = {each.media_id: each for each in await synapse.media(spammer.user_id)}
    assert media[first].quarantined_by == admin.user_id
    assert (media[second].quarantined_by, media[second].safe_from_quarantine) == (None, True)
    headers = {"Authorization": f"Bearer {spammer.access_token}"}
    url = f"{homeserver.base_url}/_matrix/client/v1/media/download/{homeserver.server_name}/{{}}"
    statuses = []
    for media_id in (first, second):
        async with session.get(url.format(media_id), headers=headers) as answer:
            statuses.append(answer.status)
    assert statuses == [404, 200]
