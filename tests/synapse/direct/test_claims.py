"""Everything that is said to people about what a removal does to their account is true of a real Synapse.

CLAIMS is the list: each sentence of the explanation (texts/en/_own_plan.html for people, _plan.html for moderators,
with the steps of words/step.html) and the test that proves it. A sentence that isn't in the list fails
`test_every_claim_…`, so no text can promise anything new without a proof. Each removal here is the real bot's, from
command to receipt.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from removal.plan import Kind
from sandbox.certificate import server_context
from sandbox.homeserver import CallFailed, Homeserver
from sandbox.scene import Scene
from sandbox.synapse_process import free_port
from tests.support.admin_room import read_only
from tests.support.claims import claims
from tests.support.direct_room import BEGINS, Talk
from tests.support.made_requests import own
from tests.support.removals import begun, call_as, furnished
from tests.synapse.conftest import settled

pytestmark = pytest.mark.asyncio(loop_scope="module")

ELSEWHERE = "says something of other servers and networks, which this one can't prove"
ADVICE = "isn't about the server"
CLAIMS = {
    # --- to a person
    "You can't log in or reactivate it.": "test_no_way_back_in",
    "Nobody can use your Matrix ID again.": "test_the_name_is_taken",
    "You leave all rooms and DMs.": "test_all_rooms_are_left",
    "You are removed from the identity server: friends can't find you by e-mail or phone.":
        "test_the_identity_server_is_told",
    "People who received your messages keep them, like e-mails.": "test_who_received_messages_keeps_them",
    "Erasing hides your messages from new joiners and empties your profile.": "test_erased",
    "Not erased: new joiners can read your messages, and your profile stays.": "test_not_erased",
    "Your messages are redacted.": "test_redacted",
    "Your files are deleted.": "test_files_deleted",
    "Your files stay.": "test_files_stay",
    # --- to a person: what else there is to know
    "The server keeps a record of ID, so nobody can register it again.": "test_the_name_is_taken",
    "Your e-mail addresses and phone numbers are removed from the account first.": "test_the_identity_server_is_told",
    "Erasing hides messages but doesn't delete them: this server keeps the text, and other servers decide for"
    " themselves.": "test_erased",
    "Redacting covers the rooms you are in now. Other servers are asked to do the same.": "test_redacted",
    "Copies of your files on other servers stay.": ELSEWHERE,
    "Whatever bridges sent to other networks stays there.": ELSEWHERE,
    "Your Single Sign-On links here are removed. Your account there stays.": "test_single_sign_on_links_go",
    "Your Single Sign-On links stay.": "test_single_sign_on_links_stay",
    "The IP addresses you logged in from stay on record until the server deletes them by itself.":
        "test_log_in_addresses",
    # --- to moderators: what will happen
    "Records what will go: rooms, devices, files.": ADVICE,
    "Makes another user admin of the rooms where it is the only admin.": "engine/test_handover.py",
    "Suspends the account, so it can't send anything more.": "engine/test_steps.py",
    "Removes its e-mail addresses and phone numbers, here and from the identity server.":
        "test_the_identity_server_is_told",
    "Redacts its messages in all rooms it is in.": "test_redacted",
    "Deactivates and erases it: nobody can log in, and the profile is emptied.": "test_erased",
    "Deactivates it: nobody can log in.": "test_no_way_back_in",
    "Removes it from all rooms and direct messages.": "test_all_rooms_are_left",
    "Quarantines its files, and identical files of other people too.": "test_files_quarantined",
    "Deletes its files from this server.": "test_files_deleted",
    "Removes its single sign-on links.": "test_single_sign_on_links_go",
    "Clears the suspension flag.": "test_no_suspension_is_left",
    "Checks the result by asking the homeserver.": ADVICE,
    # --- to moderators: what stays
    "Nobody can ever use this Matrix ID again. The server keeps a record of it.": "test_the_name_is_taken",
    "People who received its messages keep them.": "test_who_received_messages_keeps_them",
    "Erasing hides its messages from new joiners. It doesn't delete them: this server keeps the text, and other servers"
    " decide for themselves.": "test_erased",
    "Not erased: new joiners can read its messages, and its profile stays. Erasing it later leaves its name in the"
    " rooms' history.": "test_erased_later",
    "Uploaded files stay.": "test_files_stay",
    "Its 7 files stay.": "test_files_stay",
    "Its files are kept as evidence, but nobody can open them.": "test_files_quarantined",
    "Copies on other servers stay.": ELSEWHERE,
    "Single sign-on links stay.": "test_single_sign_on_links_stay",
}  # fmt: skip
"""Sentence → the test below (or the file of tests) that proves it, or why there is none."""

WORDS = "what I once said"


@dataclass
class Gone:
    """An account that was removed, and what it was."""

    user_id: str
    password: str
    token: str
    file: str
    same: str
    """Somebody else's file with the same content."""
    words: str
    """The event it once said in the lounge."""
    rooms: list[str] = field(default_factory=list)


@dataclass
class World:
    """What happened: four removals of one's own, and two by a moderator."""

    stage: Scene
    friend: str
    lounge: str
    newcomer: str
    erased: Gone
    kept: Gone
    redacted: Gone
    quarantined: Gone

    async def reads(self, who: str, gone: Gone) -> dict[str, Any]:
        """What somebody reads of what the account once said."""
        path = "/_matrix/client/v3/rooms/{}/event/{}"
        return dict((await call_as(self.stage, who, "GET", path, self.lounge, gone.words))["content"])

    async def file_status(self, file: str) -> int:
        """The HTTP status for a file."""
        headers = {"Authorization": f"Bearer {self.stage.tokens[self.friend]}"}
        url = f"{self.stage.homeserver.base_url}/_matrix/client/v1/media/download/{file.removeprefix('mxc://')}"
        async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as answer:
            return answer.status

    async def profile(self, gone: Gone) -> dict[str, Any] | None:
        """The profile as everybody sees it."""
        try:
            return await call_as(self.stage, self.friend, "GET", "/_matrix/client/v3/profile/{}", gone.user_id)
        except CallFailed as error:
            assert error.status == 404
            return None

    def rows(self, question: str, *values: str) -> list[tuple[Any, ...]]:
        """From the homeserver's own database."""
        return read_only(self.stage.homeserver.database_file, question, *values)


async def settle_in(stage: Scene, user_id: str, lounge: str, friend: str) -> Gone:
    """Gives an account a name, a file, an address, a link to single sign-on, rooms, a direct message and words."""

    async def call(method: str, path: str, *ids: str, json: Any = None) -> dict[str, Any]:
        return await call_as(stage, user_id, method, path, *ids, json=json)

    await call("PUT", "/_matrix/client/v3/profile/{}/displayname", user_id, json={"displayname": "Once here"})
    file = (await call("POST", "/_matrix/media/v3/upload", json={"of": user_id}))["content_uri"]
    same = await call_as(stage, friend, "POST", "/_matrix/media/v3/upload", json={"of": user_id})
    threepid = {"medium": "email", "address": f"{secrets.token_hex(4)}@example.org"}
    link = {"auth_provider": "oidc", "external_id": secrets.token_hex(4)}
    await furnished(stage, user_id, threepids=[threepid], external_ids=[link])
    await call("POST", "/_matrix/client/v3/join/{}", lounge, json={})
    path = "/_matrix/client/v3/rooms/{}/send/m.room.message/{}"
    said = await call("PUT", path, lounge, "1", json={"msgtype": "m.text", "body": WORDS})
    direct = {"preset": "trusted_private_chat", "is_direct": True, "invite": [friend]}
    room = (await call("POST", "/_matrix/client/v3/createRoom", json=direct))["room_id"]
    await call_as(stage, friend, "POST", "/_matrix/client/v3/join/{}", room, json={})
    password, token = stage.passwords[user_id], stage.tokens[user_id]
    return Gone(user_id, password, token, file, same["content_uri"], said["event_id"], [lounge, room])


@asynccontextmanager
async def scene_on(homeserver: Homeserver, **settings: Any) -> AsyncIterator[Scene]:
    """A bot of its own."""
    stage = Scene(homeserver)
    await stage.set_up(**settings)
    yield stage
    await stage.close()


async def leaves(stage: Scene, command: str, lounge: str, friend: str) -> Gone:
    """Somebody removes their own account, in a conversation."""
    person = await stage.person("leaver")
    gone = await settle_in(stage, person.user_id, lounge, friend)
    await (await Talk.begin(stage, person)).confirmed(command, then=BEGINS)

    async def done() -> bool:
        question = "SELECT state FROM requests WHERE target_id = ?"
        return read_only(stage.bot.database, question, person.user_id) == [("done",)]

    await settled(done)
    return gone


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(homeserver: Homeserver) -> AsyncIterator[World]:
    """All that is looked at afterwards."""
    async with (
        scene_on(homeserver, self_service={"grace_period": "0s"}) as stage,
        scene_on(homeserver, self_service={"grace_period": "0s", "remove_sso_links": False}) as keeping,
    ):
        friend = await stage.account("friend")
        keeping.tokens[friend] = stage.tokens[friend]
        create = {"preset": "public_chat", "name": "Lounge"}
        lounge = (await call_as(stage, friend, "POST", "/_matrix/client/v3/createRoom", json=create))["room_id"]
        erased = await leaves(stage, "!deactivate --erase --media", lounge, friend)
        redacted = await leaves(stage, "!deactivate --erase --keep-media --redact", lounge, friend)
        kept = await leaves(keeping, "!deactivate --no-erase --keep-media", lounge, friend)
        spammer = await stage.account("spammer")
        quarantined = await settle_in(stage, spammer, lounge, friend)
        removal = await begun(stage, f"!deactivate {spammer} --quarantine")
        await removal.done()
        newcomer = await stage.account("newcomer")
        await call_as(stage, newcomer, "POST", "/_matrix/client/v3/join/{}", lounge, json={})
        yield World(stage, friend, lounge, newcomer, erased, kept, redacted, quarantined)


# --- the list is whole -----------------------------------------------------------------------------------------------


async def test_every_claim_is_in_the_list_and_has_its_test() -> None:
    """The list holds exactly what the texts say, and names tests that exist."""
    assert set(claims()) == set(CLAIMS)
    here = Path(__file__).parents[1]
    for proof in set(CLAIMS.values()) - {ELSEWHERE, ADVICE}:
        assert (here / proof).exists() if proof.endswith(".py") else proof in globals(), proof
    assert own().kind is Kind.OWN


# --- the proofs ------------------------------------------------------------------------------------------------------


async def test_no_way_back_in(world: World) -> None:
    """Log-in is refused, the old token is dead."""
    for gone in (world.erased, world.kept, world.redacted, world.quarantined):
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": gone.user_id},
            "password": gone.password,
        }
        with pytest.raises(CallFailed) as refused:
            await world.stage.homeserver.call("POST", "/_matrix/client/v3/login", json=body)
        assert refused.value.status == 403
        with pytest.raises(CallFailed) as dead:
            await world.stage.homeserver.call("GET", "/_matrix/client/v3/account/whoami", token=gone.token)
        assert dead.value.status == 401


async def test_the_name_is_taken(world: World) -> None:
    """Nobody can register it, not even the server's admin; the record is there and says deactivated."""
    for gone in (world.erased, world.kept):
        localpart = gone.user_id[1:].partition(":")[0]
        with pytest.raises(CallFailed) as refused:
            await world.stage.homeserver.register(localpart, "a password")
        assert refused.value.errcode == "M_USER_IN_USE"
        assert (await world.stage.user(gone.user_id))["deactivated"]


async def test_all_rooms_are_left(world: World) -> None:
    """In no room any more, as the homeserver says, and those who stay see the leaving, in direct messages too."""
    for gone in (world.erased, world.kept, world.redacted, world.quarantined):
        joined = await world.stage.admin("GET", f"v1/users/{quote(gone.user_id)}/joined_rooms")
        assert joined["total"] == 0
        for room in gone.rooms:
            path = "/_matrix/client/v3/rooms/{}/state/m.room.member/{}"
            seen = await call_as(world.stage, world.friend, "GET", path, room, gone.user_id)
            assert seen["membership"] == "leave"


async def test_who_received_messages_keeps_them(world: World) -> None:
    """Who was in the room reads them as before, erased or not."""
    assert (await world.reads(world.friend, world.erased))["body"] == WORDS
    assert (await world.reads(world.friend, world.kept))["body"] == WORDS


async def test_erased(world: World) -> None:
    """Who joins later reads nothing; there is no profile; the homeserver's database still has the text."""
    assert await world.reads(world.newcomer, world.erased) == {}
    assert not await world.profile(world.erased)
    account = await world.stage.user(world.erased.user_id)
    assert account["erased"] and account["displayname"] is None
    ((stored,),) = world.rows("SELECT json FROM event_json WHERE event_id = ?", world.erased.words)
    assert WORDS in stored


async def test_not_erased(world: World) -> None:
    """Who joins later reads everything; the profile is shown as before."""
    assert (await world.reads(world.newcomer, world.kept))["body"] == WORDS
    assert (await world.profile(world.kept) or {})["displayname"] == "Once here"


async def test_redacted(world: World) -> None:
    """Even who received it reads nothing any more."""
    assert await world.reads(world.friend, world.redacted) == {}


async def test_files_deleted(world: World) -> None:
    """Nobody can fetch the file, the homeserver has no record of it; somebody else's with the same content stays."""
    assert await world.file_status(world.erased.same) == 200
    assert await world.file_status(world.erased.file) == 404
    assert (await world.stage.admin("GET", f"v1/users/{quote(world.erased.user_id)}/media"))["total"] == 0


async def test_files_stay(world: World) -> None:
    """The file is served as before."""
    assert await world.file_status(world.kept.file) == 200


async def test_files_quarantined(world: World) -> None:
    """Nobody can fetch the file, nor somebody else's with the same content; the homeserver still has it."""
    assert await world.file_status(world.quarantined.same) == 404
    assert await world.file_status(world.quarantined.file) == 404
    media_id = world.quarantined.file.rpartition("/")[2]
    ((by,),) = world.rows("SELECT quarantined_by FROM local_media_repository WHERE media_id = ?", media_id)
    assert by == world.stage.bot_id
    store = world.stage.homeserver.data_dir / "media" / "local_content"
    assert (store / media_id[:2] / media_id[2:4] / media_id[4:]).exists()


async def test_single_sign_on_links_go(world: World) -> None:
    """By default, in a person's own removal, the homeserver knows no link any more."""
    assert (await world.stage.user(world.erased.user_id))["external_ids"] == []


async def test_single_sign_on_links_stay(world: World) -> None:
    """Where the settings say so, and in a moderator's removal without `--forget-sso`, they are still there."""
    assert [each["auth_provider"] for each in (await world.stage.user(world.kept.user_id))["external_ids"]] == ["oidc"]
    assert (await world.stage.user(world.quarantined.user_id))["external_ids"]


async def test_no_suspension_is_left(world: World) -> None:
    """The mark is cleared in all of them."""
    for gone in (world.erased, world.kept, world.redacted, world.quarantined):
        assert not (await world.stage.user(gone.user_id))["suspended"]


async def test_log_in_addresses(world: World) -> None:
    """The homeserver's record of addresses outlives the account."""

    async def recorded() -> bool:  # Synapse writes them some seconds later
        return bool(world.rows("SELECT ip FROM user_ips WHERE user_id = ?", world.erased.user_id))

    await settled(recorded)


async def test_erased_later(world: World) -> None:
    """Erasing what was deactivated plainly hides the messages, and leaves the name where it joined rooms; erasing at
    once doesn't."""
    target = world.quarantined.user_id
    removal = await begun(world.stage, f"!deactivate {target} --erase")
    await removal.done()
    assert (await world.stage.user(target))["erased"]

    async def named(gone: Gone) -> bool:
        """Whether the event by which it joined the lounge still shows somebody the name."""
        question = "SELECT event_id FROM room_memberships WHERE user_id = ? AND room_id = ? AND membership = 'join'"
        path = "/_matrix/client/v3/rooms/{}/event/{}"
        joins = world.rows(question, gone.user_id, world.lounge)
        seen = [await call_as(world.stage, world.friend, "GET", path, world.lounge, join) for (join,) in joins]
        return any("Once here" in str(event["content"]) for event in seen)

    assert await named(world.quarantined)
    assert not await named(world.erased)


# --- the identity server ---------------------------------------------------------------------------------------------


@pytest.mark.asyncio(loop_scope="function")
async def test_the_identity_server_is_told(
    fresh_homeserver: Callable[..., Awaitable[Homeserver]], tmp_path: Path
) -> None:
    """An identity server that an address is bound at is asked to unbind it, before the account is deactivated; the
    address is off the account, and another one can have it."""
    asked: list[dict[str, Any]] = []
    deactivated_then: list[bool] = []
    trusting = {"ip_range_whitelist": ["127.0.0.1"], "use_insecure_ssl_client_just_for_testing_do_not_use": True}
    server = await fresh_homeserver(config=trusting)

    async def unbind(request: web.Request) -> web.Response:
        asked.append(await request.json())
        ((flag,),) = await asyncio.to_thread(
            read_only, server.database_file, "SELECT deactivated FROM users WHERE name = ?", asked[-1]["mxid"]
        )
        deactivated_then.append(bool(flag))
        return web.json_response({})

    application = web.Application()
    application.router.add_post("/_matrix/identity/v2/3pid/unbind", unbind)
    runner = web.AppRunner(application)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=server_context(tmp_path)[0]).start()
    try:
        async with scene_on(server, self_service={"grace_period": "0s"}) as stage:
            person = await stage.person("leaver")
            address = f"{secrets.token_hex(4)}@example.org"
            threepid = {"medium": "email", "address": address}
            await furnished(stage, person.user_id, threepids=[threepid])
            with closing(sqlite3.connect(server.database_file)) as database, database:  # what binding leaves behind
                database.execute(
                    "INSERT INTO user_threepid_id_server (user_id, medium, address, id_server) VALUES (?, ?, ?, ?)",
                    (person.user_id, "email", address, f"127.0.0.1:{port}"),
                )
            await (await Talk.begin(stage, person)).confirmed(then=BEGINS)
            await stage.moderator.wait_for(lambda e: e.room_id == stage.room and "Read back" in e.body)
            assert [(one["mxid"], one["threepid"]) for one in asked] == [(person.user_id, threepid)]
            assert deactivated_then == [False]
            assert (await stage.user(person.user_id))["threepids"] == []
            other = await stage.account("other")
            await furnished(stage, other, threepids=[threepid])
            assert [each["address"] for each in (await stage.user(other))["threepids"]] == [address]
    finally:
        await runner.cleanup()
