"""The interface to the accounts means the same whoever keeps them: each test runs on Synapse alone, and with MAS."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import quote

import aiohttp
import pytest
import pytest_asyncio

from homeserver.accounts.backend import AccountBackend
from homeserver.accounts.mas import SynapseWithMas
from homeserver.accounts.mas_api import MasAdmin
from homeserver.accounts.mas_tokens import ClientCredentials
from homeserver.accounts.synapse import Synapse
from homeserver.client.api import Api, NotFound
from homeserver.client.pace import Pace
from sandbox.homeserver import CallFailed, Homeserver
from sandbox.mas_scene import MasScene
from sandbox.scene import Scene
from tests.support.removals import email, furnished
from tests.synapse.conftest import settled
from tests.synapse.mas.conftest import Service


@dataclass(frozen=True)
class Side:
    """A homeserver, and the way to its accounts."""

    stage: Scene
    accounts: AccountBackend

    async def account(self, role: str = "person") -> str:
        """A new account with one device."""
        return await self.stage.account(role)

    async def token_is_refused(self, user_id: str) -> bool:
        """Whether the account's own token isn't taken."""
        try:
            path = "/_matrix/client/v3/account/whoami"
            await self.stage.homeserver.call("GET", path, token=self.stage.tokens[user_id])
        except CallFailed:
            return True
        return False

    async def furnish(self, user_id: str) -> str:
        """Gives the account an e-mail address and a link to single sign-on; returns the address."""
        if isinstance(self.stage, MasScene):
            await self.stage.furnish(user_id)
        else:
            link = {"auth_provider": "oidc-example", "external_id": user_id}
            await furnished(self.stage, user_id, threepids=[email(user_id)], external_ids=[link])
        return email(user_id)["address"]


@pytest_asyncio.fixture(params=["synapse", "mas"])
async def side(request: pytest.FixtureRequest, homeserver: Homeserver, service: Service) -> AsyncIterator[Side]:
    """One after the other: Synapse alone, and Synapse with MAS."""
    async with aiohttp.ClientSession() as session:
        stage: Scene = Scene(homeserver)
        if request.param == "mas":
            stage = MasScene(service.homeserver, service.mas)
        stage.bot_id = await stage.account("lethe", admin=True)
        api = Api(session, stage.homeserver.base_url, stage.tokens[stage.bot_id])
        if request.param == "mas":
            access = service.mas.access
            service_api = Api(session, access.url, None)
            tokens = ClientCredentials(service_api, "/oauth2/token", access.client_id, access.client_secret)
            yield Side(stage, SynapseWithMas(api, MasAdmin(session, access.url, tokens)))
        else:
            yield Side(stage, Synapse(api))
        await stage.close_clients()


async def test_who_may_and_who_keeps_them(side: Side) -> None:
    """An admin's token is enough, this is still who is in charge, and each program has a version."""
    assert await side.accounts.is_admin() is True
    await side.accounts.ensure_in_charge()
    versions = await side.accounts.versions()
    assert "Synapse" in versions and all(versions.values())


async def test_a_new_account(side: Side) -> None:
    """Active, neither suspended nor locked nor an admin, with the time of its making; a name that nobody has is None,
    also in another case."""
    user_id = await side.account()
    user = await side.accounts.user(user_id)
    assert user is not None and user.user_id == user_id
    marks = (user.deactivated, user.half_deactivated, user.erased, user.suspended, user.locked, user.admin)
    assert marks == (False,) * 6
    assert abs((user.creation_ts or 0) - time.time() * 1000) < 600_000
    assert await side.accounts.user("@nobody-at-all:lethe.test") is None
    assert await side.accounts.user(user_id.replace("person", "PERSON")) is None


async def test_suspending_and_locking(side: Side) -> None:
    """Each is seen, can be repeated, and is taken back; neither ends a session."""
    user_id = await side.account()

    async def marks() -> tuple[bool, bool]:
        user = await side.accounts.user(user_id)
        assert user is not None
        return user.suspended, user.locked

    for _ in range(2):
        await side.accounts.suspend(user_id, True)
        await side.accounts.lock(user_id, True)
    assert await marks() == (True, True)
    await settled(lambda: side.token_is_refused(user_id))
    await side.accounts.suspend(user_id, False)
    await side.accounts.lock(user_id, False)
    assert await marks() == (False, False)
    assert (await side.accounts.sessions(user_id))["devices"] == 1


async def test_ending_all_sessions(side: Side) -> None:
    """None of any kind is left, the token is dead, and once more does no harm."""
    user_id = await side.account()
    await side.furnish(user_id)
    assert any((await side.accounts.sessions(user_id)).values())
    for _ in range(2):
        await side.accounts.log_out(user_id)

    async def over() -> bool:
        return not any((await side.accounts.sessions(user_id)).values())

    await settled(over)
    await settled(lambda: side.token_is_refused(user_id))


async def test_ending_one_session(side: Side) -> None:
    """The device is gone, its token is dead and stays so, the others go on; once more does no harm."""
    user_id = await side.account()
    token = side.stage.tokens[user_id]
    whoami = await side.stage.homeserver.call("GET", "/_matrix/client/v3/account/whoami", token=token)
    await side.furnish(user_id)
    before = await side.accounts.devices(user_id)
    for _ in range(2):
        await side.accounts.end_session(user_id, whoami["device_id"])
    await settled(lambda: side.token_is_refused(user_id))
    assert sorted(await side.accounts.devices(user_id)) == sorted(set(before) - {whoami["device_id"]})
    sessions = await side.accounts.sessions(user_id)
    assert sessions["devices"] == len(before) - 1
    assert sessions.get("compat-sessions", len(before) - 2) == len(before) - 2 + (len(before) == 1)


async def test_server_admins(side: Side) -> None:
    """Who is one, or may become one by asking, is among them; nobody else."""
    person, boss = await side.account(), await side.stage.account("boss", admin=True)
    found = await side.accounts.server_admins()
    assert boss in found and person not in found
    user = await side.accounts.user(boss)
    assert user is not None and user.admin


async def test_addresses_and_links(side: Side) -> None:
    """Their kinds are told, their owner is found whatever the case, and they go; who has none is told so."""
    user_id = await side.account()
    address = await side.furnish(user_id)
    user = await side.accounts.user(user_id)
    assert user is not None and user.threepid_media == ("email",) and len(user.external_ids) == 1
    assert await side.accounts.owner_of("email", address) == user_id
    assert [each.address for each in await side.accounts.threepids(user_id)] == [address]
    assert await side.accounts.remove_threepids(user_id) == ("email",)
    assert len(await side.accounts.remove_external_ids(user_id)) == 1
    assert (await side.accounts.remove_threepids(user_id), await side.accounts.remove_external_ids(user_id)) == ((), ())
    user = await side.accounts.user(user_id)
    assert user is not None and not user.threepid_media and not user.external_ids
    assert await side.accounts.owner_of("email", address) is None


@pytest.mark.parametrize("erase", [True, False])
async def test_deactivating_and_back(side: Side, erase: bool) -> None:
    """In the end both say so, no session is left, and once more does no harm; reactivated, it is active, not erased,
    and still has no session."""
    user_id = await side.account()
    for _ in range(2):
        await side.accounts.deactivate(user_id, erase)

    async def over() -> bool:
        user = await side.accounts.user(user_id)
        return user is not None and user.deactivated and user.erased is erase and not user.half_deactivated

    await settled(over)
    assert not any((await side.accounts.sessions(user_id)).values())
    assert await side.token_is_refused(user_id)
    for _ in range(2):
        await side.accounts.reactivate(user_id)
    user = await side.accounts.user(user_id)
    assert user is not None
    assert (user.deactivated, user.half_deactivated, user.erased) == (False, False, False)
    assert not any((await side.accounts.sessions(user_id)).values())


async def test_reactivating_unlocks_nothing(side: Side) -> None:
    """A lock outlives both."""
    user_id = await side.account()
    await side.accounts.lock(user_id, True)
    await side.accounts.deactivate(user_id, False)

    async def over() -> bool:
        user = await side.accounts.user(user_id)
        return user is not None and user.deactivated

    await settled(over)
    await side.accounts.reactivate(user_id)
    user = await side.accounts.user(user_id)
    assert user is not None and user.locked and not user.deactivated


async def test_nobody_is_made_by_asking(side: Side) -> None:
    """What is asked of an account that there isn't makes none."""
    nobody = "@nobody-here:lethe.test"
    for act in (
        side.accounts.lock(nobody, True),
        side.accounts.remove_threepids(nobody),
        side.accounts.remove_external_ids(nobody),
        side.accounts.reactivate(nobody),
        side.accounts.deactivate(nobody, True),
    ):
        with pytest.raises(NotFound):
            await act
    assert await side.accounts.user(nobody) is None
    with pytest.raises(CallFailed, match="404"):
        await side.stage.admin("GET", f"v2/users/{quote(nobody)}")


async def test_the_same_accounts_at_a_pace(side: Side) -> None:
    """What waits for its turn reads the same."""
    user_id = await side.account()
    paced = side.accounts.paced(Pace(1))
    assert await paced.user(user_id) == await side.accounts.user(user_id)
    assert await paced.sessions(user_id) == await side.accounts.sessions(user_id)
