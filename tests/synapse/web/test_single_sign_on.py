"""Single sign-on with a real OpenID provider that a real Synapse is set up with, in a real browser."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sandbox.homeserver import Homeserver
from sandbox.node import why_not
from sandbox.openid import OpenIdProvider
from sandbox.synapse_process import free_port
from tests.support.browser import Visit, Visitor, link_of, page_settings
from tests.support.direct_room import MakeScene, Talk, requests, states
from tests.synapse.web.test_whole_way import devices


@pytest_asyncio.fixture
async def homeserver() -> AsyncIterator[Homeserver]:
    """A Synapse with two providers, and a password."""
    if reason := why_not():
        pytest.skip(reason)
    port = free_port()
    async with (
        OpenIdProvider(f"http://127.0.0.1:{port}") as provider,
        Homeserver(port=port, config=provider.config("Example", "Another One")) as running,
    ):
        yield running


async def sign_on(visitor: Visitor, name: str, provider: str = "Example") -> None:
    """The person goes to the provider, says a name there, agrees, and comes back by the homeserver's own page."""
    await visitor.press(f"Continue with {provider}")
    await visitor.page.get_by_placeholder("Enter any login").fill(name)
    await visitor.page.get_by_placeholder("and password").fill("any password")
    await visitor.press("Sign-in")
    await visitor.press("Continue")  # the provider: what the homeserver will learn
    await visitor.press("Continue")  # the homeserver: to which address the browser goes on
    await visitor.page.wait_for_url(lambda url: url.startswith(visitor.url))


async def test_each_provider_is_a_button_and_leads_to_the_account(scene: MakeScene, visit: Visit) -> None:
    """The whole way by single sign-on: the account is known, its devices are as before, the token is used and in no
    address that stays, and the request is confirmed."""
    stage = await scene(self_service=page_settings())
    person = await stage.person("leaver")
    before = await devices(stage, person.user_id)
    visitor = await visit(stage)
    await visitor.open()
    await visitor.press("Delete my account")
    text = await visitor.text()
    assert "Continue with Example" in text and "Continue with Another One" in text
    await sign_on(visitor, person.user_id[1:].partition(":")[0], "Another One")
    assert person.user_id in await visitor.reads("You are logged in as")
    assert visitor.page.url == f"{visitor.url}/account"
    assert sorted(await devices(stage, person.user_id)) == sorted(before)
    back = next(url for url in visitor.seen if url.startswith(f"{visitor.url}/return"))
    await visitor.open(back)
    await visitor.reads("This log-in didn't begin in this browser, or it was used already")
    await visitor.open("/account")
    await visitor.choose()
    await visitor.press("Yes, delete my account")
    await visitor.reads("Your account will be removed on")
    assert states(stage) == ["scheduled"]
    token = back.partition("loginToken=")[2].partition("&")[0]
    assert len(token) > 10
    for secret in (token, back.partition("state=")[2].partition("&")[0]):
        assert secret not in stage.bot.log
        assert secret.encode() not in stage.bot.database.read_bytes()


async def test_another_persons_sign_on_is_refused(scene: MakeScene, visit: Visit) -> None:
    """A personal link is for one account: who comes back as another is told so, and is logged out; nothing happens, and
    the right person can still log in."""
    stage = await scene(self_service=page_settings(proof="login"))
    person, other = await stage.person("leaver"), await stage.account("other")
    link = await link_of(await Talk.begin(stage, person))
    visitor = await visit(stage)
    await visitor.open(link)
    await visitor.press("Go to the log-in")
    before = await devices(stage, other)
    await sign_on(visitor, other[1:].partition(":")[0])
    said = await visitor.reads("You have been logged out again")
    assert other in said and person.user_id in said
    assert await devices(stage, other) == before
    assert states(stage) == ["awaiting_log_in"]
    await visitor.open("/account")
    await visitor.reads("This page doesn't know you any more")
    await visitor.open("/log-in")
    await visitor.page.get_by_text("Log in with a password instead").click()
    await visitor.log_in(person.user_id, stage.passwords[person.user_id])
    await visitor.reads("Delete this account?")
    assert requests(stage)[0]["requester_id"] == person.user_id
