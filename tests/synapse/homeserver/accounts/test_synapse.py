"""The admin API's door, against a real Synapse: what it shows of accounts, and what it does to them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version

import aiohttp
import pytest

from homeserver.accounts.errors import identity_server_failed
from homeserver.accounts.models import JOIN_STATES
from homeserver.accounts.synapse import Synapse
from homeserver.client.api import Api, BadToken, Forbidden, NotFound, Refused, ServerFault
from sandbox.homeserver import Homeserver
from tests.conftest import Account, People
from tests.synapse.conftest import settled

NOBODY = "@nobody-was-here:lethe.test"
ALIEN = "@person:elsewhere.test"


async def test_the_version_and_the_rights_are_told(
    synapse: Synapse, client: Callable[[Account], Api], people: People
) -> None:
    """An admin's token is recognised, another's isn't, and a dead one is an error of its own."""
    person = await people.account()
    # Installed inside a git checkout, Synapse adds that to its version.
    assert (await synapse.server_version()).split()[0] == version("matrix-synapse")
    assert await synapse.is_admin() is True
    assert await Synapse(client(person)).is_admin() is False
    with pytest.raises(BadToken):
        await Synapse(client(Account("", "", "", "wrong"))).is_admin()
    with pytest.raises(Forbidden):
        await Synapse(client(person)).user(person.user_id)


async def test_an_account_is_described(synapse: Synapse, client: Callable[[Account], Api], people: People) -> None:
    """Every field of a new account, times in milliseconds; what changes is seen."""
    person = await people.account("leaver")
    await client(person).call("GET", "/_matrix/client/v3/account/whoami")
    user = await synapse.user(person.user_id)
    assert user is not None
    assert (user.user_id, user.displayname, user.avatar_url) == (person.user_id, person.localpart, None)
    assert not (user.admin or user.deactivated or user.erased or user.suspended or user.locked or user.shadow_banned)
    assert (user.is_guest, user.appservice_id, user.user_type) == (False, None, None)
    assert (user.threepid_media, user.external_ids) == ((), ())
    assert abs(user.creation_ts / 1000 - time.time()) < 60
    assert user.last_seen_ts is None or abs(user.last_seen_ts / 1000 - time.time()) < 60


async def test_who_is_not_here_is_told_apart(synapse: Synapse, people: People) -> None:
    """Unknown names, in another case or hostile, are None; names of other servers and what is no name are refused."""
    person = await people.account("case")
    for unknown in (NOBODY, person.user_id.upper().replace("LETHE.TEST", "lethe.test"), "@a/../b:lethe.test"):
        assert await synapse.user(unknown) is None
    assert await synapse.user("@x%2F?y#z:lethe.test") is None
    for impossible in (ALIEN, "person", "@person", "@x%00:elsewhere.test"):
        with pytest.raises(Refused) as caught:
            await synapse.user(impossible)
        assert caught.value.status == 400


async def test_similar_names_are_found(synapse: Synapse, people: People) -> None:
    """A part of a name finds accounts, as many as asked for; nothing and nonsense find nobody."""
    first, second = await people.account("similar"), await people.account("similar")
    assert set(await synapse.find_users("similar-")) >= {first.user_id, second.user_id}
    assert len(await synapse.find_users("similar-", limit=1)) == 1
    assert await synapse.find_users(first.localpart[2:]) == [first.user_id]
    for nothing in ("", "\x00", "%", "\ud800", "' OR 1=1 --"):
        assert await synapse.find_users(nothing) == []


async def test_what_an_account_holds_is_counted(
    synapse: Synapse, client: Callable[[Account], Api], people: People
) -> None:
    """Devices, rooms, memberships, pushers, account data and profile; nothing of it for unknown accounts."""
    person, other = await people.account(), await people.account()
    own, others = client(person), client(other)
    room = (await own.call("POST", "/_matrix/client/v3/createRoom", json={"preset": "public_chat"}))["room_id"]
    left = (await others.call("POST", "/_matrix/client/v3/createRoom", json={"preset": "public_chat"}))["room_id"]
    await own.call("POST", "/_matrix/client/v3/join/{}", left, json={})
    await own.call("POST", "/_matrix/client/v3/rooms/{}/leave", left, json={})
    pusher = {"kind": "http", "app_id": "a", "pushkey": "k", "app_display_name": "a", "device_display_name": "d",
              "lang": "en", "data": {"url": "http://127.0.0.1/_matrix/push/v1/notify"}}  # fmt: skip
    await own.call("POST", "/_matrix/client/v3/pushers/set", json=pusher)
    for path in ("account_data/org.example", "rooms/{}/account_data/org.example"):
        ids = [room] if "{}" in path else []
        await own.call("PUT", f"/_matrix/client/v3/user/{{}}/{path}", person.user_id, *ids, json={"a": 1})

    assert await synapse.joined_rooms(person.user_id) == [room]
    assert await synapse.memberships(person.user_id) == {room: "join", left: "leave"}
    assert await synapse.pushers(person.user_id) == 1
    assert (await synapse.account_data(person.user_id)).count == 2
    assert await synapse.profile(person.user_id) == {"displayname": person.localpart}
    (device,) = await synapse.devices(person.user_id)
    assert [each["device_id"] for each in await synapse.device_records(person.user_id)] == [device]

    assert await synapse.joined_rooms(NOBODY) == []
    assert await synapse.profile(NOBODY) is None
    for ask in (synapse.devices, synapse.pushers, synapse.account_data, synapse.media_total, synapse.threepids):
        with pytest.raises(NotFound):
            await ask(NOBODY)


async def test_third_party_ids_go_without_creating_anybody(
    synapse: Synapse, client: Callable[[Account], Api], admin: Account, people: People
) -> None:
    """Kinds are shown, addresses only to who asks for them; taking off can be repeated and creates no account."""
    person = await people.account()
    address = {"medium": "email", "address": f"{person.localpart}@example.org"}
    body = {"threepids": [address], "external_ids": [{"auth_provider": "oidc-x", "external_id": person.localpart}]}
    await client(admin).call("PUT", "/_synapse/admin/v2/users/{}", person.user_id, json=body)

    user = await synapse.user(person.user_id)
    assert user is not None
    assert (user.threepid_media, user.external_ids) == (("email",), ("oidc-x",))
    (threepid,) = await synapse.threepids(person.user_id)
    assert (threepid.medium, threepid.address) == ("email", address["address"])
    assert address["address"] not in repr(user) + repr(threepid)

    assert await synapse.remove_threepids(person.user_id) == ("email",)
    assert await synapse.remove_external_ids(person.user_id) == ("oidc-x",)
    user = await synapse.user(person.user_id)
    assert user is not None
    assert (user.threepid_media, user.external_ids, user.deactivated) == ((), (), False)
    assert await synapse.remove_threepids(person.user_id) == ()
    assert await synapse.remove_external_ids(person.user_id) == ()

    for remove in (synapse.remove_threepids, synapse.remove_external_ids):
        with pytest.raises(NotFound):
            await remove(NOBODY)
    assert await synapse.user(NOBODY) is None


async def test_a_suspended_account_cannot_speak(
    synapse: Synapse, client: Callable[[Account], Api], people: People
) -> None:
    """Suspension takes hold at once, can be repeated, and ends."""
    person = await people.account("spammer")
    own = client(person)
    room = (await own.call("POST", "/_matrix/client/v3/createRoom", json={}))["room_id"]
    say = "/_matrix/client/v3/rooms/{}/send/m.room.message/{}"
    for _ in range(2):
        await synapse.suspend(person.user_id, True)
    user = await synapse.user(person.user_id)
    assert user is not None
    assert user.suspended
    with pytest.raises(Forbidden):
        await own.call("PUT", say, room, "t1", json={"msgtype": "m.text", "body": "x"})
    await synapse.suspend(person.user_id, False)
    await own.call("PUT", say, room, "t2", json={"msgtype": "m.text", "body": "x"})
    with pytest.raises(NotFound):
        await synapse.suspend(NOBODY, True)


async def test_own_limits_can_be_lifted(synapse: Synapse, people: People) -> None:
    """None is "the usual limits"; 0 and 0 is "none"."""
    person = await people.account("bot")
    assert await synapse.override_ratelimit(person.user_id) is None
    await synapse.lift_ratelimit(person.user_id)
    limits = await synapse.override_ratelimit(person.user_id)
    assert limits is not None
    assert (limits.messages_per_second, limits.burst_count) == (0, 0)


async def test_deactivation_refuses_what_it_cannot_do(synapse: Synapse, people: People) -> None:
    """Another server's account and no name at all are refused, an unknown name and one in another case aren't found."""
    person = await people.account("case")
    for user_id, status in ((ALIEN, 400), ("person", 400), (NOBODY, 404), (person.user_id.replace("c", "C", 1), 404)):
        with pytest.raises(Refused) as caught:
            await synapse.deactivate(user_id, erase=True)
        assert caught.value.status == status
        assert isinstance(caught.value, NotFound) is (status == 404)
    user = await synapse.user(person.user_id)
    assert user is not None
    assert not user.deactivated


async def test_only_a_boolean_erases(synapse: Synapse, people: People) -> None:
    """The homeserver refuses anything else, so a mistake can't turn into a plain deactivation."""
    person = await people.account()
    with pytest.raises(Refused) as caught:
        await synapse.deactivate(person.user_id, erase="true")  # type: ignore[arg-type] # the mistake in question
    assert caught.value.errcode == "M_BAD_JSON"
    user = await synapse.user(person.user_id)
    assert user is not None
    assert not user.deactivated


async def test_deactivation_twice_and_erasing_later(
    synapse: Synapse, client: Callable[[Account], Api], people: People
) -> None:
    """Plain first and erased later works; plain after that doesn't take the erasure back; the token is dead at once."""
    person = await people.account("leaver")
    for erase, erased in ((False, False), (False, False), (True, True), (True, True), (False, True)):
        assert await synapse.deactivate(person.user_id, erase) in ("success", "no-support")
        user = await synapse.user(person.user_id)
        assert user is not None
        assert (user.deactivated, user.erased) == (True, erased)
        assert (await synapse.profile(person.user_id) is None) is erased
    with pytest.raises(BadToken):
        await client(person).call("GET", "/_matrix/client/v3/account/whoami")


async def test_suspension_and_rights_hinder_no_deactivation(synapse: Synapse, people: People) -> None:
    """Suspended accounts and other admins go too; the flags outlive it."""
    person, other_admin = await people.account(), await people.account("admin", admin=True)
    await synapse.suspend(person.user_id, True)
    for each in (person, other_admin):
        await synapse.deactivate(each.user_id, erase=True)
    users = [await synapse.user(each.user_id) for each in (person, other_admin)]
    assert [user and (user.deactivated, user.suspended, user.admin) for user in users] == [
        (True, True, False),
        (True, False, True),
    ]


async def test_an_admin_that_deactivates_itself_loses_its_token(synapse: Synapse, admin: Account) -> None:
    """Nothing stops it: whoever calls has to."""
    await synapse.deactivate(admin.user_id, erase=False)
    with pytest.raises(BadToken):
        await synapse.server_version()
        await synapse.user(admin.user_id)


async def test_a_name_with_a_slash_is_the_one_deactivated(synapse: Synapse, homeserver: Homeserver) -> None:
    """Percent-encoding keeps an id whole: no other account is reached through it."""
    names = [f"slash{time.time_ns()}", f"slash{time.time_ns()}/../x=y"]
    for name in names:
        await homeserver.register(name, "password")
    await synapse.deactivate(homeserver.user_id(names[1]), erase=True)
    users = [await synapse.user(homeserver.user_id(name)) for name in names]
    assert [user and user.deactivated for user in users] == [False, True]


async def test_after_the_end_nothing_is_left_to_read(
    synapse: Synapse, client: Callable[[Account], Api], people: People
) -> None:
    """All proofs of a removal can be read back: rooms, devices, pushers, account data, profile and names."""
    person = await people.account("leaver")
    own = client(person)
    rooms = [(await own.call("POST", "/_matrix/client/v3/createRoom", json={}))["room_id"] for _ in range(3)]
    await own.call("PUT", "/_matrix/client/v3/user/{}/account_data/org.example", person.user_id, json={"a": 1})
    assert set(await synapse.joined_rooms(person.user_id)) == set(rooms)

    await synapse.deactivate(person.user_id, erase=True)

    async def left() -> bool:
        return await synapse.joined_rooms(person.user_id) == []

    await settled(left)
    user = await synapse.user(person.user_id)
    assert user is not None
    assert (user.displayname, user.avatar_url, user.threepid_media) == (None, None, ())
    assert await synapse.devices(person.user_id) == []
    assert await synapse.pushers(person.user_id) == 0
    assert (await synapse.account_data(person.user_id)).count == 0
    assert await synapse.profile(person.user_id) is None
    assert await synapse.media_total(person.user_id) == 0


async def test_a_changed_name_on_its_way_into_rooms_is_seen(
    synapse: Synapse, client: Callable[[Account], Api], people: People
) -> None:
    """The background task that could join a deactivated account again can be looked up, and ends."""
    person, other = await people.account(), await people.account()
    own = client(person)
    for _ in range(3):
        await own.call("POST", "/_matrix/client/v3/createRoom", json={})
    path = "/_matrix/client/v3/profile/{}/displayname"
    await own.call("PUT", path, person.user_id, json={"displayname": "Another"})

    async def over() -> bool:
        tasks = await synapse.scheduled_tasks(person.user_id, JOIN_STATES)
        return bool(tasks) and all(task.status.over for task in tasks)

    await settled(over)
    assert await synapse.scheduled_tasks(other.user_id, JOIN_STATES) == []


async def test_a_dead_identity_server_is_named_as_the_cause(
    fresh_homeserver: Callable[..., Awaitable[Homeserver]], session: aiohttp.ClientSession
) -> None:
    """The two errors that nothing but a person can mend are told from all others; nothing was deactivated."""
    own = await fresh_homeserver()
    token = await own.register("admin", "password", admin=True)
    await own.register("person", "password")
    person, address = own.user_id("person"), {"medium": "email", "address": "person@example.org"}
    api = Api(session, own.base_url, token)
    await api.call("PUT", "/_synapse/admin/v2/users/{}", person, json={"threepids": [address]})
    await own.stop()
    with sqlite3.connect(own.database_file) as database:  # what binding at an identity server leaves behind
        database.execute(
            "INSERT INTO user_threepid_id_server (user_id, medium, address, id_server) VALUES (?, ?, ?, ?)",
            (person, "email", address["address"], "127.0.0.1:9"),
        )
    await own.start()

    synapse = Synapse(api)
    with pytest.raises(ServerFault) as fault:
        await synapse.remove_threepids(person)
    with pytest.raises(Refused) as refused:
        await synapse.deactivate(person, erase=True)
    with pytest.raises(Refused) as another:
        await synapse.deactivate("person", erase=True)
    assert identity_server_failed(fault.value)
    assert identity_server_failed(refused.value)
    assert not identity_server_failed(another.value)
    user = await synapse.user(person)
    assert user is not None
    assert (user.deactivated, user.threepid_media) == (False, ("email",))
