"""A server that moves to MAS while requests wait, and settings that don't fit the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from sandbox.homeserver import Homeserver
from sandbox.mas import StandInMas, synapse_config
from sandbox.mas_scene import MasScene
from sandbox.scene import Scene
from tests.support.direct_room import Talk, states
from tests.support.removals import asked

MakeScene = Callable[..., Awaitable[MasScene]]


async def all_tokens(stage: Scene) -> list[tuple[str, str, str]]:
    """Whose, of which device, and the token: every log-in of the stage."""
    found = [(person.user_id, person.device_id, person.access_token) for person in stage.people]
    found.append((stage.bot_id, stage.bot.credentials["device_id"], stage.bot.credentials["access_token"]))
    for user_id, token in stage.tokens.items():
        me = await stage.homeserver.call("GET", "/_matrix/client/v3/account/whoami", token=token)
        found.append((user_id, me["device_id"], token))
    return found


async def move(stage: Scene, mas: StandInMas) -> None:
    """The stage's homeserver leaves its accounts to MAS from now on; everybody stays logged in."""
    homeserver, tokens = stage.homeserver, await all_tokens(stage)
    await homeserver.stop()
    homeserver.config.update(synapse_config(mas.access.url, mas.secret))
    await mas.start(homeserver)
    for user_id, device_id, token in tokens:
        mas.adopt(user_id, device_id, token, admin=user_id == stage.bot_id)
    await homeserver.start()


async def test_nothing_is_done_by_the_wrong_door() -> None:
    """The server moves, its old tokens go on working: what is confirmed then stops, and says so. With the settings for
    MAS it goes on, and is done in MAS."""
    async with Homeserver() as homeserver:
        stage = Scene(homeserver)
        mas = StandInMas()
        try:
            await stage.set_up()
            target = await stage.account("spammer")
            removal = await asked(stage, f"!deactivate {target} --erase")
            await move(stage, mas)
            await removal.confirm()
            said = await removal.says("were moved")
            assert "Read back" not in said
            assert removal.state == "blocked"
            assert not (await stage.user(target))["deactivated"]
            stage.bot.configure(homeserver={"mas": mas.access.settings})
            await stage.bot.restart()
            await removal.retry()
            assert "✗" not in await removal.done()
            assert (await stage.user(target))["deactivated"]
            assert (await mas.state(target[1:].partition(":")[0]))["deactivated_at"] is not None
        finally:
            await stage.close()
            await mas.close()


async def test_a_persons_own_request_stops_and_says_so() -> None:
    """The server moves while a person's own removal waits for its date: it ends, says why to the person, and the
    account is as it was, able to write."""
    async with Homeserver() as homeserver:
        stage = Scene(homeserver)
        mas = StandInMas()
        try:
            await stage.set_up(self_service={"grace_period": "5s", "wait_for_reminder": False})
            person = await stage.person("leaver")
            talk = await Talk.begin(stage, person)
            await talk.confirmed()
            await move(stage, mas)
            await talk.hears("could not be removed. You keep it", timeout=90)
            told = await stage.moderator.wait_for(lambda e: e.room_id == stage.room and "(MAS) by now" in e.body, 30)
            assert person.user_id in told.body
            assert states(stage) == ["failed"]
            user = await stage.user(person.user_id)
            assert (user["deactivated"], user["suspended"]) == (False, False)
        finally:
            await stage.close()
            await mas.close()


async def test_check_says_that_all_is_well(scene: MakeScene) -> None:
    """`check` names MAS, says that its admin API is open, and passes."""
    stage = await scene()
    code, output = await stage.bot.command("check")
    assert code == 0, output
    assert stage.mas.access.url in output and "is open to the bot" in output and "✗" not in output


async def test_a_wrong_secret_is_told(scene: MakeScene) -> None:
    """By `check`, and by the bot, which doesn't start; neither repeats the secret."""
    stage = await scene(start=False)
    stage.bot.configure(homeserver={"mas": {**stage.mas.access.settings, "client_secret": "not-this-one"}})
    code, output = await stage.bot.command("check")
    assert code == 1
    assert "doesn't take homeserver.mas.client_id" in output and "client_secret_basic" in output
    await stage.bot.start(until="doesn't take homeserver.mas.client_id")
    assert await stage.bot.wait() == 1
    assert "not-this-one" not in output + stage.bot.log


async def test_a_client_without_the_right_is_told(scene: MakeScene, stand_in: StandInMas) -> None:
    """Where MAS's policy doesn't give the client its scope, `check` names the setting of MAS."""
    stage = await scene(start=False)
    stand_in.service.allowed = False
    try:
        code, output = await stage.bot.command("check")
    finally:
        stand_in.service.allowed = True
    assert code == 1
    assert "policy.data.admin_clients" in output


async def test_a_token_from_a_file(scene: MakeScene, stand_in: StandInMas, tmp_path: Path) -> None:
    """The token of a personal session is enough; a dead one is told with what it has to be."""
    stage = await scene(start=False)
    file = tmp_path / "token"
    file.write_text(stand_in.personal_token() + "\n")
    file.chmod(0o600)
    stage.bot.configure(homeserver={"mas": {"token_file": str(file)}})
    _, output = await stage.bot.command("check")
    assert "is open to the bot" in output
    file.write_text("mpt_dead\n")
    code, output = await stage.bot.command("check")
    assert code == 1
    assert "urn:mas:admin" in output and "mpt_dead" not in output


async def test_settings_that_do_not_fit_are_told(scene: MakeScene, homeserver: Homeserver) -> None:
    """MAS in the settings and not on the server, and the other way round, are both told by `check`."""
    stage = await scene(start=False)
    stage.bot.configure(homeserver={"mas": None})
    stage.bot.settings["homeserver"].pop("mas")
    stage.bot.configure()
    code, output = await stage.bot.command("check")
    assert code == 1
    assert "homeserver.mas" in output and "docs/install-mas.md" in output
    stage.bot.configure(homeserver={"url": homeserver.base_url, "mas": stage.mas.access.settings})
    code, output = await stage.bot.command("check")
    assert code == 1
    assert "keeps its accounts itself" in output
