"""Each attack on the page gets a clear answer, and nothing is done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from sandbox.homeserver import Homeserver
from sandbox.proxy import Proxy, answer
from sandbox.scene import Scene
from tests.support.admin_room import read_only
from tests.support.browser import found_link, link_of, page_settings
from tests.support.direct_room import MakeScene, Talk, states
from tests.support.in_process_bot import MakeInside
from tests.support.page_client import COOKIE, PageClient
from tests.synapse.conftest import settled
from tests.synapse.web.test_whole_way import devices

MINUTE = 60_000
MakeHomeserver = Callable[..., Awaitable[Homeserver]]
FORGOTTEN = "doesn't know you any more"


async def unchanged(stage: Scene, user_id: str, before: list[str]) -> None:
    """No request, and no device more than before."""
    assert states(stage) == []
    assert sorted(await devices(stage, user_id)) == sorted(before)
    assert not (await stage.user(user_id))["deactivated"]


# --- the link --------------------------------------------------------------------------------------------------------


async def test_a_link_works_once(scene: MakeScene) -> None:
    """Looking at it, as programs do that look at every link, doesn't use it; following it does. `!status` gives
    another, and whoever follows that one and logs in confirms the request."""
    stage = await scene(self_service=page_settings(proof="login"))
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    path = urlsplit(await link_of(talk)).path
    first, second = PageClient(stage), PageClient(stage)
    for _ in range(3):
        assert person.user_id in (await first.get(path)).text
    secret = (await first.get(path)).field("link")
    assert (await first.ask("POST", "/link", {"link": secret})).location == "/log-in"
    for client in (first, second):
        assert (await client.get(path)).status == 410
        assert (await client.ask("POST", "/link", {"link": secret})).status == 410
    assert second.cookie == ""
    assert states(stage) == ["awaiting_log_in"]

    again = found_link(await talk.ask("!status", "log in"))
    assert (await second.ask("POST", "/link", {"link": again.rpartition("/")[2]})).location == "/log-in"
    assert (await second.log_in(person.user_id)).location == "/account"
    assert "will be removed on" in (await second.confirmed(await second.get("/account"))).text
    await talk.hears("will be removed on")
    assert states(stage) == ["scheduled"]


async def test_a_link_and_a_visit_end_after_a_quarter_of_an_hour(inside: MakeInside) -> None:
    """To the minute, and the page says so."""
    stage, bot = await inside(self_service=page_settings(proof="login"))
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    path = urlsplit(await link_of(talk)).path
    client, late = PageClient(stage), PageClient(stage)
    bot.clock.ahead += 14 * MINUTE
    secret = (await client.get(path)).field("link")
    assert (await late.ask("POST", "/link", {"link": secret})).status == 303
    assert (await late.log_in(person.user_id)).location == "/account"
    shown = await late.get("/account")
    bot.clock.ahead += 16 * MINUTE
    assert (await client.get(path)).status == 410
    answered = await late.send("/account/confirm", shown)
    assert answered.status == 400 and answered.says(FORGOTTEN)
    assert (await late.get("/account")).says(FORGOTTEN)
    assert states(stage) == ["awaiting_log_in"]


async def test_a_link_is_for_its_person_alone(scene: MakeScene) -> None:
    """Another account's password, typed under the right name or another, confirms nothing."""
    stage = await scene(self_service=page_settings(proof="login"))
    person, other = await stage.person("leaver"), await stage.account("other")
    path = urlsplit(await link_of(await Talk.begin(stage, person))).path
    client = PageClient(stage)
    await client.ask("POST", "/link", {"link": path.rpartition("/")[2]})
    answered = await client.log_in(other)
    assert answered.status == 403 and "accept this log-in" in answered.text
    assert (await client.get("/account")).status == 400
    assert states(stage) == ["awaiting_log_in"]


# --- forms and cookies -----------------------------------------------------------------------------------------------


async def test_a_form_counts_only_from_its_own_page(scene: MakeScene) -> None:
    """Without the token of the visit, with another visit's, or sent by another site, nothing is done."""
    stage = await scene(self_service=page_settings())
    person, other = await stage.account("leaver"), await stage.account("other")
    victim, attacker = PageClient(stage), PageClient(stage)
    for client, user_id in ((victim, person), (attacker, other)):
        assert (await client.log_in(user_id)).location == "/account"
    shown, theirs = await victim.chosen(), await attacker.chosen()
    good = {"csrf": shown.field("csrf"), "shown": shown.field("shown")}
    for bad in ({}, {"csrf": ""}, {"csrf": theirs.field("csrf")}, {"csrf": "ü"}):
        for path in ("/account/confirm", "/account/cancel", "/account/options", "/leave", "/log-in", "/log-in/again"):
            answered = await victim.ask("POST", path, {**good, "csrf": "", **bad})
            assert (answered.status, answered.says("came from somewhere else")) == (403, True), path
    for site in ("cross-site", "same-site", "none"):
        assert (await victim.ask("POST", "/account/confirm", good, Sec_Fetch_Site=site)).status == 403
    assert states(stage) == ["awaiting_confirmation"] * 2
    assert (await victim.ask("POST", "/account/confirm", good, Sec_Fetch_Site="same-origin")).status == 303
    assert states(stage) == ["scheduled", "awaiting_confirmation"]


async def test_a_confirmation_counts_for_what_was_shown(scene: MakeScene) -> None:
    """What changed in another window, or in the chat, has to be read first; a second yes changes nothing."""
    stage = await scene(self_service=page_settings())
    person = await stage.account("leaver")
    client = PageClient(stage)
    await client.log_in(person)
    old = await client.chosen(erase="no")
    await client.send("/account/cancel", old)
    await client.ask("POST", "/start")
    await client.log_in(person)
    new = await client.chosen(erase="yes")
    await client.send("/account/confirm", new, shown=old.field("shown"))
    assert states(stage) == ["cancelled", "awaiting_confirmation"]
    await client.send("/account/confirm", new)
    await client.send("/account/confirm", new)
    assert states(stage) == ["cancelled", "scheduled"]


async def test_a_cookie_from_before_the_log_in_is_worth_nothing(scene: MakeScene) -> None:
    """Whoever planted a cookie in somebody's browser isn't logged in when that person logs in."""
    stage = await scene(self_service=page_settings())
    person = await stage.account("leaver")
    attacker = PageClient(stage)
    await attacker.ask("POST", "/start")
    victim = PageClient(stage, attacker.cookie)
    assert (await victim.log_in(person)).location == "/account"
    assert victim.cookie != attacker.cookie
    assert (await victim.get("/account")).status == 200
    assert (await attacker.get("/account")).says(FORGOTTEN)


async def test_what_the_browser_is_told(scene: MakeScene) -> None:
    """The cookie and the headers of each answer: nothing runs, nothing is loaded from elsewhere or kept."""
    stage = await scene(self_service=page_settings())
    client = PageClient(stage)
    answers = [await client.get(path) for path in ("/", "/style.css", "/nothing", "/account", "/link/x")]
    answers += [await client.ask("POST", path) for path in ("/start", "/account/confirm", "/")]
    for each in answers:
        policy = each.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ") and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy and "http" not in policy
        assert each.headers["Cache-Control"] == "no-store"
        assert each.headers["X-Content-Type-Options"] == "nosniff"
        assert each.headers["Referrer-Policy"] == "no-referrer"
        assert each.headers["Server"] == "Lethe"
    assert [each.status for each in answers] == [200, 200, 404, 400, 410, 303, 403, 405]
    cookie = answers[5].headers["Set-Cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "Secure", "Path=/", "SameSite=Lax"} <= set(cookie.split("; ")) and "Domain" not in cookie


async def test_nobody_is_sent_elsewhere(scene: MakeScene) -> None:
    """No parameter and no path makes the page lead to an address that isn't its own or the homeserver's."""
    stage = await scene(self_service=page_settings())
    client = PageClient(stage)
    evil = "https://evil.example"
    for method, path in (
        ("POST", f"/start?to={evil}&next={evil}&redirectUrl={evil}"),
        ("GET", f"/log-in?redirect={evil}"),
        ("GET", f"/log-in/with/sso?redirectUrl={evil}"),
        ("GET", f"/return?redirectUrl={evil}&next={evil}"),
        ("GET", "//evil.example"),
        ("GET", "//evil.example/%2e%2e"),
        ("GET", f"/link/{evil}"),
    ):
        answered = await client.ask(method, path)
        assert answered.location in ("", "/log-in"), path
        assert "evil.example" not in answered.text, path


# --- logging in ------------------------------------------------------------------------------------------------------


async def test_nobody_learns_whether_there_is_such_an_account(scene: MakeScene) -> None:
    """A wrong password, a name that nobody has, an account that is gone: the same page, to the letter."""
    stage = await scene(self_service=page_settings())
    person, gone = await stage.account("leaver"), await stage.account("gone")
    await stage.admin("POST", f"v1/deactivate/{gone}", json={"erase": False})
    client, said = PageClient(stage), set()
    for user, password in (
        (person, "wrong"),
        ("@nobody:lethe.test", "wrong"),
        (gone, stage.passwords[gone]),
        ("x", "x"),
    ):
        answered = await client.log_in(user, password)
        said.add((answered.status, answered.text))
    assert len(said) == 1
    assert next(iter(said))[0] == 403


async def test_another_servers_account_is_sent_away(scene: MakeScene) -> None:
    """Before anything is asked: its password goes nowhere."""
    stage = await scene(self_service=page_settings())
    answered = await PageClient(stage).log_in("@leaver:example.org", "password")
    assert answered.status == 400 and "Only accounts on" in answered.text


async def test_passwords_are_tried_ten_times_and_no_more(scene: MakeScene, proxy: Proxy) -> None:
    """By an address, and for an account from wherever; the homeserver isn't asked any more then."""
    stage = await scene(self_service=page_settings(), homeserver={"url": proxy.base_url})
    person = await stage.account("leaver")
    asked = proxy.on("POST", "/v3/login", answer(403, {"errcode": "M_FORBIDDEN", "error": "no"}))
    statuses = []
    for number in range(12):
        client = PageClient(stage, headers={"X-Forwarded-For": f"evil, 198.51.100.{number}"})
        statuses.append((await client.log_in(person, "wrong")).status)
    assert statuses == [403] * 10 + [429] * 2
    other = await stage.account("other")
    statuses = []
    for number in range(12):
        client = PageClient(stage, headers={"X-Forwarded-For": f"10.0.0.{number}, 2001:db8::{number}"})
        statuses.append((await client.log_in(f"{other[:-12]}{number}:lethe.test", "wrong")).status)
    assert statuses == [403] * 10 + [429] * 2
    assert asked.hits == 20


async def test_a_sign_on_that_began_elsewhere_is_refused(scene: MakeScene) -> None:
    """Somebody sends a person the address at which their own sign-on comes back: the person isn't logged in as them."""
    stage = await scene(self_service=page_settings())
    client = PageClient(stage)
    for path in ("/return", "/return?state=&loginToken=x", "/return?state=x&loginToken=x"):
        answered = await client.get(path)
        assert answered.status == 400 and answered.says(FORGOTTEN)
    await client.ask("POST", "/start")
    for path in ("/return", "/return?state=&loginToken=x", "/return?state=x&loginToken=x"):
        answered = await client.get(path)
        assert (answered.status, answered.says("begin in this browser")) == (403, True)


# --- a homeserver that is away, or says wait -------------------------------------------------------------------------


async def test_a_homeserver_that_is_away(scene: MakeScene, proxy: Proxy) -> None:
    """At each step the page says so and nothing is done; the same step works once the homeserver is back."""
    stage = await scene(self_service=page_settings(), homeserver={"url": proxy.base_url})
    person = await stage.account("leaver")
    before = await devices(stage, person)
    client = PageClient(stage)
    await client.ask("POST", "/start")
    for method, path in (("GET", "/v3/login"), ("POST", "/v3/login")):
        form = await client.get("/log-in") if method == "POST" else None
        away = proxy.on(method, path, answer(502), times=1)
        answered = await (client.get("/log-in") if form is None else client.log_in(person))
        assert (answered.status, answered.says("be asked at the moment")) == (503, True)
        assert away.hits == 1
    await unchanged(stage, person, before)
    assert (await client.log_in(person)).location == "/account"
    proxy.on("GET", "/_synapse/admin/v2/users/", answer(502), times=1)
    assert (await client.get("/account")).status == 503
    shown = await client.chosen()
    proxy.on("GET", "/_synapse/admin/v2/users/", answer(502), times=1)
    assert (await client.send("/account/confirm", shown)).status == 503
    assert states(stage) == ["awaiting_confirmation"]
    assert "will be removed on" in (await client.confirmed(shown)).text


async def test_a_session_that_cannot_be_ended_proves_nothing(inside: MakeInside, proxy: Proxy) -> None:
    """The homeserver goes away between the log-in and its end: the person isn't let in, and the session is ended by the
    bot as soon as it can, after a restart too."""
    stage, bot = await inside(self_service=page_settings(), homeserver={"url": proxy.base_url})
    person = await stage.account("leaver")
    before = await devices(stage, person)
    broken = proxy.on("POST", "/v3/logout", answer(502), times=1)
    client = PageClient(stage)
    assert (await client.log_in(person)).status == 503
    assert broken.hits == 1
    assert (await client.get("/account")).says(FORGOTTEN)
    assert len(await devices(stage, person)) == len(before) + 1
    assert len(read_only(stage.bot.database, "SELECT * FROM log_ins")) == 1
    await bot.stop()
    bot.clock.ahead += 5 * MINUTE
    await bot.start()

    async def ended() -> bool:
        return not read_only(stage.bot.database, "SELECT * FROM log_ins")

    await settled(ended)
    await unchanged(stage, person, before)


async def test_the_homeserver_says_wait(scene: MakeScene, fresh_homeserver: MakeHomeserver) -> None:
    """Its limit for log-ins by address is reached: the page says how long, keeps the place, and goes on afterwards."""
    limits = {"rc_login": {"address": {"per_second": 0.2, "burst_count": 2}}}
    homeserver = await fresh_homeserver(config=limits)
    stage = await scene(on=homeserver, self_service=page_settings())
    person = await stage.account("leaver")
    client = PageClient(stage)
    await client.ask("POST", "/start")
    async with asyncio.timeout(60):
        while (answered := await client.log_in(person, "wrong")).status != 429:
            pass
    assert "Your place here is kept" in answered.text
    assert 1 <= int(answered.headers["Retry-After"]) <= 60
    assert (await client.send("/log-in/again", answered)).location == "/log-in"
    async with asyncio.timeout(60):
        while (await client.log_in(person)).location != "/account":  # noqa: ASYNC110 - the homeserver's own clock
            await asyncio.sleep(2)
    assert (await client.get("/account")).status == 200


# --- secrets ---------------------------------------------------------------------------------------------------------


async def test_no_secret_is_left_anywhere(scene: MakeScene) -> None:
    """What was typed, the cookies and the links: in no log (at its most talkative), no row, no address, no audit."""
    stage = await scene(self_service=page_settings(proof="login"))
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    link = (await link_of(talk)).rpartition("/")[2]
    client, cookies = PageClient(stage), []
    await client.ask("POST", "/link", {"link": link})
    cookies.append(client.cookie)
    await client.log_in(person.user_id, "a wrong password, typed")
    form = await client.get("/log-in")
    answered = await client.log_in(person.user_id)
    cookies.append(client.cookie)
    await client.confirmed(await client.get("/account"))
    assert states(stage) == ["scheduled"]
    code, audit = await stage.bot.command("audit", "export")
    assert code == 0
    kept = stage.bot.log.encode() + audit.encode() + answered.location.encode()
    for file in stage.bot.data_dir.rglob("*"):
        if file.is_file():
            kept += file.read_bytes()
    secrets = [stage.passwords[person.user_id], "a wrong password, typed", *cookies, form.field("csrf")]
    assert [secret for secret in secrets if secret.encode() in kept] == []
    # The link stands in the outbox until it is sent.
    assert not any(link in str(value) for row in read_only(stage.bot.database, "SELECT * FROM outbox") for value in row)
