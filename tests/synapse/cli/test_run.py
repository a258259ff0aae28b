"""Starting the bot: which room it obeys, where it refuses to run, and where its settings may stand."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing

import pytest

from sandbox.homeserver import Homeserver
from sandbox.lethe import Lethe
from sandbox.proxy import Proxy, answer
from sandbox.synapse_process import free_port
from tests.conftest import People
from tests.support.prompts import MakeScene, line, prompted
from tests.synapse.homeserver.accounts.test_mas_detection import delegation, mas

MakeHomeserver = Callable[..., Awaitable[Homeserver]]


# --- the room's address ----------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_an_alias_is_resolved_once_and_not_followed(scene: MakeScene) -> None:
    """`admin_room` by address: the bot obeys the room that it led to at the first start. When somebody moves the
    address, `check` and `run` refuse and say so; when the address is taken away, the bot goes on."""
    stage = await scene(start=False)
    alias = f"#admins-{stage.moderator.device_id.lower()}:lethe.test"
    path = "/_matrix/client/v3/directory/room/{}"
    stage.bot.configure(admin_room=alias)
    with pytest.raises(RuntimeError, match=r"ended with 1:\n(?s:.*)there is no room with the address"):
        await stage.bot.start()
    await stage.moderator.call("PUT", path, alias, json={"room_id": stage.room})
    await stage.bot.start()
    await stage.bot_joined()
    await (await prompted(stage, await stage.account("bystander"))).react("❌")
    assert (await stage.bot.command("check"))[0] == 0

    await stage.moderator.call("DELETE", path, alias)
    await stage.bot.restart()
    await (await prompted(stage, await stage.account("bystander"))).react("❌")

    trap = await stage.moderator.create_room(encrypted=True, invite=[stage.bot_id])
    await stage.moderator.call("PUT", path, alias, json={"room_id": trap})
    code, output = await stage.bot.command("check")
    assert code == 1
    assert stage.room in line(output, "✗", "could make themselves moderator")
    await stage.bot.stop()
    before = len(stage.bot.log)
    with pytest.raises(RuntimeError, match="ended with 1"):
        await stage.bot.start()
    told = stage.bot.log[before:]
    assert "Lethe can't run: admin_room" in told and trap in told and "Traceback" not in told
    stage.bot.configure(admin_room=stage.room)
    await stage.bot.start()
    await (await prompted(stage, await stage.account("bystander"))).react("❌")


async def test_an_alias_that_cannot_be_looked_up_yet_is_waited_for(scene: MakeScene, proxy: Proxy) -> None:
    """The first start, and the homeserver fails just when it is asked for the address: the bot asks again."""
    stage = await scene(start=False, homeserver={"url": proxy.base_url})
    alias = f"#admins-{stage.moderator.device_id.lower()}:lethe.test"
    await stage.moderator.call("PUT", "/_matrix/client/v3/directory/room/{}", alias, json={"room_id": stage.room})
    stage.bot.configure(admin_room=alias)
    broken = proxy.on("GET", "/directory/room/", answer(502), times=1)
    await stage.bot.start()
    assert broken.hits == 1
    await stage.bot_joined()


# --- where it must not run -------------------------------------------------------------------------------------------


async def test_a_server_with_mas_is_refused(fresh_homeserver: MakeHomeserver) -> None:
    """On a Synapse whose accounts live in MAS, `check` and `run` end with 1 and explain, before any log-in."""
    port = free_port()
    async with mas(port):
        homeserver = await fresh_homeserver(config=delegation(port))
        bot = Lethe(homeserver.base_url, homeserver.user_id("lethe"), "a password", "!any:lethe.test")
        try:
            code, output = await bot.command("check")
            assert code == 1
            line(output, "✗", "Matrix Authentication Service (MAS)")
            code, output = await bot.command("run")
            assert code == 1
            assert "Lethe can't run: " in output and "Matrix Authentication Service (MAS)" in output
            assert "Traceback" not in output
        finally:
            await bot.close()


async def test_run_refuses_an_account_without_admin_rights(people: People, homeserver: Homeserver) -> None:
    """`run` ends with 1 and says how to mend it."""
    plain = await people.account("lethe")
    bot = Lethe(homeserver.base_url, plain.user_id, plain.password, "!any:lethe.test")
    try:
        code, output = await bot.command("run")
        assert code == 1
        assert "isn't a server admin" in output.strip().splitlines()[-1] and "Traceback" not in output
    finally:
        await bot.close()


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["file", "environment"])
async def test_the_secret_may_stand_elsewhere(scene: MakeScene, where: str) -> None:
    """The password from a file of its own or from the environment: `check` and `run` work, and it is in no log."""
    stage = await scene(start=False)
    password = stage.passwords[stage.bot_id]
    del stage.bot.settings["homeserver"]["password"]
    if where == "file":
        file = stage.bot.directory / "password"
        file.touch(mode=0o600)
        file.write_text(password + "\n")
        stage.bot.configure(homeserver={"password_file": file.name})  # from the directory of the settings
    else:
        stage.bot.configure()
        stage.bot.environment["LETHE_HOMESERVER__PASSWORD"] = password
    assert password not in stage.bot.config.read_text()
    await stage.bot.start()
    await stage.bot_joined()
    code, output = await stage.bot.command("check")
    assert code == 0, output
    await (await prompted(stage, await stage.account("bystander"))).react("❌")
    assert password not in stage.bot.log + output
    assert stage.bot.data_dir.stat().st_mode & 0o077 == 0


async def test_an_unknown_key_is_refused_with_what_would_be_right(scene: MakeScene) -> None:
    """A misspelt setting: `check` and `run` end with 1 and name the key and the nearest one; nothing is started."""
    stage = await scene(start=False)
    stage.bot.configure(confirmation={"expires": "3s"})
    for command in ("check", "run"):
        code, output = await stage.bot.command(command)
        assert code == 1
        assert "confirmation.expires: there is no such key; did you mean confirmation.expires_after?" in output
    assert not stage.bot.data_dir.exists()
    with closing(sqlite3.connect(stage.homeserver.database_file)) as database:
        question = "SELECT COUNT(*) FROM devices WHERE user_id = ? AND display_name = 'Lethe'"
        assert database.execute(question, (stage.bot_id,)).fetchone() == (0,)
