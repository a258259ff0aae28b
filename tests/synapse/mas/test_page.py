"""The page on a server whose accounts live in MAS: OAuth 2's code flow in a real browser."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from urllib.parse import parse_qs, urlsplit

import pytest

from sandbox.mas import StandInMas
from sandbox.mas_records import ulid
from sandbox.mas_scene import MasScene
from tests.support.admin_room import read_only
from tests.support.browser import Visit, Visitor, link_of, page_settings
from tests.support.direct_room import SHOWN, Talk, states
from tests.support.page_client import PageClient
from tests.synapse.conftest import settled
from tests.synapse.mas.conftest import REAL, Service
from tests.synapse.web.test_whole_way import devices

MakeMasScene = Callable[..., Awaitable[MasScene]]


async def sign_on(visitor: Visitor, user_id: str) -> None:
    """Goes to MAS, says who one is, and comes back."""
    page, localpart = visitor.page, user_id[1:].partition(":")[0]
    await visitor.press("Continue with single sign-on")
    if REAL:
        if await page.get_by_role("button", name="Use another account").count():
            await visitor.press("Use another account")
        await page.get_by_label("Username").fill(localpart)
        await page.get_by_label("Password").fill(visitor.stage.passwords[user_id])
        await visitor.press("Continue")
        await visitor.reads("Continue to Lethe")
        await visitor.press("Continue")
    else:
        await visitor.reads("Lethe wants to know who you are")
        await page.get_by_label("Name").fill(localpart)
        await visitor.press("Log in as another")
    await page.wait_for_url(lambda url: url.startswith(visitor.url))


async def go_through(visitor: Visitor) -> None:
    """Goes to MAS, which knows the browser, and comes back without having typed anything."""
    await visitor.press("Continue with single sign-on")
    await visitor.press("Continue")
    await visitor.page.wait_for_url(lambda url: url.startswith(visitor.url))


async def test_from_the_page_to_a_gone_account_with_mas(scene: MakeMasScene, visit: Visit) -> None:
    """Log-in at MAS, which is asked to have the person log in anew; its session is over there, and its device gone in
    Synapse, before anything is confirmed. Then the account is gone in both."""
    stage = await scene(self_service=page_settings(grace_period="0s"))
    person = await stage.person("leaver")
    localpart = person.user_id[1:].partition(":")[0]
    before, active = await devices(stage, person.user_id), await stage.mas.active(localpart)
    visitor = await visit(stage)
    await visitor.open()
    await visitor.press("Delete my account")
    assert await visitor.page.get_by_label("Password").count() == 0
    await sign_on(visitor, person.user_id)
    await visitor.reads("You are logged in as")
    assert any("prompt=login" in url for url in visitor.seen)
    assert await devices(stage, person.user_id) == before
    assert (await stage.mas.active(localpart))["oauth2-sessions"] == active["oauth2-sessions"]
    assert visitor.page.url == f"{visitor.url}/account"
    await visitor.choose()
    await visitor.press("Yes, delete my account")

    async def gone() -> bool:
        return bool((await stage.user(person.user_id))["deactivated"]) and states(stage) == ["done"]

    await settled(gone)
    assert (await stage.in_mas(person.user_id))["deactivated_at"]
    await visitor.open("/account")
    await visitor.reads("Your account is deleted")
    back = parse_qs(urlsplit(next(url for url in visitor.seen if "/return?" in url)).query)
    for secret in (back["code"][0], back["state"][0]):
        assert secret not in stage.bot.log


async def test_another_persons_log_in_at_mas_is_refused(scene: MakeMasScene, visit: Visit) -> None:
    """By the link from the chat; and a code that comes back to another browser, or twice, makes no session."""
    stage = await scene(self_service=page_settings(proof="login"))
    person, other = await stage.person("leaver"), await stage.account("other")
    link = await link_of(await Talk.begin(stage, person))
    visitor = await visit(stage)
    await visitor.open(link)
    await visitor.press("Go to the log-in")
    before = await devices(stage, other)
    await sign_on(visitor, other)
    await visitor.reads("You have been logged out again")
    assert await devices(stage, other) == before
    assert states(stage) == ["awaiting_log_in"]
    back = next(url for url in visitor.seen if "/return?" in url).partition(visitor.url)[2]
    foreign = PageClient(stage)
    await foreign.ask("POST", "/start")
    for client in (foreign, PageClient(stage, await cookie_of(visitor))):
        assert (await client.get(back)).status == 403

    await visitor.open("/log-in")
    await sign_on(visitor, person.user_id)
    await visitor.reads("Delete this account?")
    await visitor.press("Yes, delete my account")
    await visitor.reads("Your account will be removed on")
    assert states(stage) == ["scheduled"]


async def cookie_of(visitor: Visitor) -> str:
    """The browser's cookie."""
    return next(str(each["value"]) for each in await visitor.context.cookies() if each["name"] == "__Host-lethe")


async def test_a_browser_that_mas_knows_proves_nothing(scene: MakeMasScene, visit: Visit, service: Service) -> None:
    """MAS doesn't ask anew, whatever `prompt` says: whoever found the browser open isn't let in, and nothing stays."""
    stage = await scene(self_service=page_settings())
    person = await stage.account("leaver")
    localpart = person[1:].partition(":")[0]
    before, active = await devices(stage, person), await stage.mas.active(localpart)
    visitor = await visit(stage)
    await visitor.open()
    await visitor.press("Delete my account")
    await sign_on(visitor, person)
    await visitor.reads("You are logged in as")
    await service.mas.age_log_ins(120)
    await visitor.open()
    await visitor.press("Delete my account")
    await visitor.reads("choose another account there")
    await go_through(visitor)
    await visitor.reads("this doesn't prove that it's you")
    assert await visitor.open("/account") == 400
    assert await devices(stage, person) == before
    assert (await stage.mas.active(localpart))["oauth2-sessions"] == active["oauth2-sessions"]
    await visitor.open("/log-in")
    await sign_on(visitor, person)
    await visitor.reads("You are logged in as")


async def test_the_chat_names_the_accounts_own_page(scene: MakeMasScene, service: Service) -> None:
    """Where MAS has one, people can do it there without the bot."""
    stage = await scene()
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    await talk.say("!deactivate --erase --keep-media")
    shown = await talk.hears(SHOWN)
    assert f"{service.mas.access.url}/account/?action=org.matrix.account_deactivate" in shown.body


async def test_a_configured_client_is_used(scene: MakeMasScene, visit: Visit, stand_in: StandInMas) -> None:
    """Where `self_service.web.client_id` says so, nothing is registered."""
    settings = page_settings()
    stand_in.service.log_in.clients["configured"] = {
        "client_name": "Lethe",
        "redirect_uris": [f"{settings['web']['public_url']}/return"],
    }
    known = set(stand_in.service.log_in.clients)
    settings["web"]["client_id"] = "configured"
    stage = await scene(self_service=settings)
    person = await stage.account("leaver")
    visitor = await visit(stage)
    await visitor.open()
    await visitor.press("Delete my account")
    await sign_on(visitor, person)
    await visitor.reads("You are logged in as")
    assert set(stand_in.service.log_in.clients) == known


async def test_a_session_that_a_crash_left_at_mas_is_ended(scene: MakeMasScene, stand_in: StandInMas) -> None:
    """Whose it is, only its scope shows. In MAS, too, which would give Synapse the device back."""
    stage = await scene(self_service=page_settings())
    person = await stage.account("leaver")
    localpart = person[1:].partition(":")[0]
    before, active = await devices(stage, person), await stage.mas.active(localpart)
    await stage.bot.stop()
    records, device = stand_in.service.records, "LETHEPROOFLEFT"
    records.add(
        "oauth2-sessions", user_id=records.by_name(localpart), user_session_id=None, client_id=ulid(), finished_at=None,
        scope=f"openid urn:matrix:client:api:* urn:matrix:client:device:{device}",
    )  # fmt: skip
    body = {"localpart": localpart, "device_id": device}
    await stage.homeserver.call("POST", "/_synapse/mas/upsert_device", token=stage.mas.secret, json=body)
    with closing(sqlite3.connect(stage.bot.database)) as database, database:
        database.execute("INSERT INTO log_ins VALUES (?, NULL, 0)", (device,))
    await stage.bot.start()

    async def over() -> bool:
        gone = await devices(stage, person) == before and await stage.mas.active(localpart) == active
        return gone and read_only(stage.bot.database, "SELECT * FROM log_ins") == []

    await settled(over)


@pytest.mark.parametrize("path", ["/oauth2/token", "/oauth2/registration"])
async def test_a_mas_that_is_away(scene: MakeMasScene, visit: Visit, stand_in: StandInMas, path: str) -> None:
    """The page says so, nothing is done, and the next log-in works."""
    stage = await scene(self_service=page_settings())
    person = await stage.account("leaver")
    before = await devices(stage, person)
    visitor = await visit(stage)
    await visitor.open()
    await visitor.press("Delete my account")
    stand_in.service.away.append(path)
    if path == "/oauth2/registration":
        await visitor.press("Continue with single sign-on")
    else:
        await sign_on(visitor, person)
    await visitor.reads("be asked at the moment")
    assert await devices(stage, person) == before
    await visitor.open("/log-in")
    await sign_on(visitor, person)
    await visitor.reads("You are logged in as")
