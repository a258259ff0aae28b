"""`bot.py init`: from a homeserver with default limits to a bot that answers `!help`; again, it changes nothing."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from sandbox.client import Person
from sandbox.homeserver import CallFailed, Homeserver
from sandbox.lethe import PROJECT
from sandbox.mas import StandInMas, synapse_config

MakeHomeserver = Callable[..., Awaitable[Homeserver]]


class Place:
    """A directory for a bot's settings, beside a homeserver of its own with default limits and two accounts."""

    def __init__(self, homeserver: Homeserver, directory: Path) -> None:
        self.homeserver = homeserver
        self.config = directory / "config.yaml"
        self.data_dir = directory / "data"
        self.password = directory / "password"
        self.password.write_text("of-alice\n")
        self.token = ""

    async def init(self, *options: str, url: bool = True, terminal: dict[str, str] | None = None) -> tuple[int, str]:
        """Runs it as root's terminal would; returns exit code and output.

        Args:
            url: names the homeserver's address.
            terminal: what a person types when they read something; None is a script.
        """
        given = [*(["--homeserver", self.homeserver.base_url] if url else []), *options]
        stdin, typed = asyncio.subprocess.DEVNULL, -1
        if terminal is not None:
            typed, stdin = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "bot.py", "init", "--config", str(self.config), *given,
            cwd=PROJECT, stdin=stdin, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # no terminal of its own: getpass then reads standard input
        )  # fmt: skip
        assert process.stdout is not None
        output = b""
        left = list((terminal or {}).items())
        while part := await process.stdout.read(10_000):
            output += part
            if left and left[0][0] in output.decode().splitlines()[-1]:
                os.write(typed, f"{left.pop(0)[1]}\n".encode())
        code = await process.wait()
        if terminal is not None:
            os.close(typed)
            os.close(stdin)
        assert b"Traceback" not in output and not left, output.decode()
        return code, output.decode()

    async def usual(self, *options: str) -> tuple[int, str]:
        """With an admin's password and a moderator, as a script gives them."""
        file = str(self.password)
        return await self.init("--admin", "@alice:lethe.test", "--admin-password-file", file, *options, "--yes")

    def settings(self) -> dict[str, Any]:
        """What was written."""
        read = yaml.safe_load(self.config.read_text())
        assert isinstance(read, dict)
        return read

    def traces(self) -> tuple[Any, ...]:
        """All that another run could have changed: of the homeserver's database, and every file of ours."""
        questions = (
            "SELECT MAX(stream_ordering) FROM events",
            "SELECT name, admin, password_hash FROM users ORDER BY name",
            "SELECT user_id, device_id FROM devices ORDER BY 1, 2",
            "SELECT user_id, displayname, avatar_url FROM profiles ORDER BY 1",
            "SELECT * FROM ratelimit_override ORDER BY 1",
            "SELECT COUNT(*) FROM e2e_cross_signing_keys",
            "SELECT COUNT(*) FROM local_media_repository",
        )
        with closing(sqlite3.connect(self.homeserver.database_file)) as database:
            found = [database.execute(each).fetchall() for each in questions]
        files = {path.name: path.read_bytes() for path in (self.config, *self.data_dir.glob("*")) if path.is_file()}
        return found, files

    def devices(self, localpart: str) -> int:
        with closing(sqlite3.connect(self.homeserver.database_file)) as database:
            question = "SELECT COUNT(*) FROM devices WHERE user_id = ? AND NOT hidden"
            return int(database.execute(question, (self.homeserver.user_id(localpart),)).fetchone()[0])


@pytest_asyncio.fixture
async def place(fresh_homeserver: MakeHomeserver, tmp_path: Path) -> AsyncIterator[Place]:
    """A server with a server admin `alice` and an account `bob`."""
    homeserver = await fresh_homeserver(real_rate_limits=True)
    made = Place(homeserver, tmp_path)
    made.token = await homeserver.register("alice", "of-alice", True)
    await homeserver.register("bob", "of-bob", False)
    yield made


async def first_help(place: Place) -> None:
    """Starts the bot; the moderator accepts the invitation and is answered, encrypted."""
    bob = Person(place.homeserver.base_url, "@bob:lethe.test")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "bot.py", "run", "--config", str(place.config), cwd=PROJECT, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await bob.login("of-bob")
        room = place.settings()["admin_room"]
        await bob.until(lambda: room in bob.invites or None, what="the invitation")
        await bob.join(room)
        asked = await bob.say(room, "!help")
        answer = await bob.reply_to(asked)
        assert answer.encrypted and "!deactivate" in answer.body
    finally:
        process.terminate()
        assert await process.wait() == 0
        await bob.close()


async def test_init_twice_and_then_help(place: Place) -> None:
    """Default limits, an admin's password: all is made, the admin's session ended, and the bot answers `!help`. The
    second run finds all of it there and changes neither the homeserver nor a file."""
    before = place.devices("alice")
    code, output = await place.usual("--moderator", "bob", "--moderator", "@alice:lethe.test")
    assert code == 0, output
    assert "Everything the bot needs is in place" in output and "✗" not in output
    assert output.rstrip().endswith("say there: !help")
    assert "of-alice" not in output and place.settings()["homeserver"]["password"] not in output
    assert place.config.stat().st_mode & 0o777 == 0o600
    assert place.devices("alice") == before
    bot = await place.homeserver.call("GET", "/_synapse/admin/v2/users/@lethe:lethe.test", token=place.token)
    assert bot["admin"] and bot["displayname"] == "Lethe" and bot["avatar_url"].startswith("mxc://")

    room = place.settings()["admin_room"]
    answer = await place.homeserver.call("GET", f"/_synapse/admin/v1/rooms/{room}/state", token=place.token)
    state = {(each["type"], each["state_key"]): each["content"] for each in answer["state"]}
    assert state["m.room.join_rules", ""]["join_rule"] == "invite"
    assert ("m.room.encryption", "") in state
    assert state["m.room.guest_access", ""]["guest_access"] == "forbidden"
    levels = state["m.room.power_levels", ""]
    assert (levels["users"]["@bob:lethe.test"], levels["users"]["@alice:lethe.test"]) == (100, 50)
    assert levels["state_default"] == 100 and levels["users_default"] == 0
    for user in ("@bob:lethe.test", "@alice:lethe.test"):
        assert state["m.room.member", user]["membership"] == "invite"

    traces = place.traces()
    code, output = await place.usual("--moderator", "bob", "--moderator", "@alice:lethe.test")
    assert code == 0, output
    done = output.partition("data_dir: ")[0].splitlines()[:-1]
    assert done and all(line.startswith(("·", "")) and not line.startswith(("✓", "✗", "!")) for line in done), output
    assert place.traces() == traces
    await first_help(place)


async def test_the_registration_secret_is_enough(place: Place) -> None:
    """On the homeserver's own machine nobody has to be an admin already: its homeserver.yaml lets the bot register."""
    file = place.homeserver.data_dir / "homeserver.yaml"
    options = ("--server-name", "lethe.test", "--registration-secret-file", str(file), "--moderator", "bob", "--yes")
    code, output = await place.init(*options)
    assert code == 0, output
    assert place.devices("lethe") == 1  # what registering logged in as is gone
    traces = place.traces()
    assert (await place.init(*options))[0] == 0
    assert place.traces() == traces
    await first_help(place)


async def test_a_terminal_is_asked_for_what_no_option_says(place: Place) -> None:
    """Server name, bot's name, the admin and their password, the moderators: typed, or taken as proposed."""
    typed = {
        "server's name": "lethe.test",
        "bot's name [lethe]": "",
        "A server admin": "alice",
        "Password of @alice:lethe.test": "of-alice",
        "Moderators": "bob",
    }
    code, output = await place.init(terminal=typed)
    assert code == 0, output
    assert "Made the account @lethe:lethe.test" in output and "invited @bob:lethe.test" in output
    assert "of-alice" not in output


async def test_a_mistyped_moderator_is_asked_for_again(place: Place) -> None:
    """On a terminal, a name that nobody has ends nothing: the right one makes the room."""
    options = ("--admin", "@alice:lethe.test", "--admin-password-file", str(place.password), "--bot", "lethe")
    typed = {"Moderators": "bobb @bob:", "Moderators, who": "bobb", "Moderators, who may": "bob"}
    code, output = await place.init(*options, terminal=typed)
    assert code == 0, output
    assert "There is no account @bobb:lethe.test" in output and "invited @bob:lethe.test" in output


async def test_an_account_that_is_there_is_taken_only_when_told(place: Place) -> None:
    """It isn't touched without `--take-over`, and nothing is left; with it, it gets a new password and no old session
    lives on."""
    old = await place.homeserver.register("lethe", "old-password", False)
    traces = place.traces()
    code, output = await place.usual("--moderator", "bob")
    assert code == 1 and "--take-over" in output
    assert not place.config.exists() and place.traces() == traces
    code, output = await place.usual("--moderator", "bob", "--take-over")
    assert code == 0, output
    assert "Made @lethe:lethe.test a server admin" in output
    with pytest.raises(CallFailed, match="M_UNKNOWN_TOKEN"):
        await place.homeserver.call("GET", "/_matrix/client/v3/account/whoami", token=old)


async def test_a_persons_account_is_not_made_admin_by_a_name_typed_wrongly(place: Place) -> None:
    """Settings that name an account, and don't log in as it: it stays as it is without `--take-over`."""
    await place.homeserver.register("somebody", "their-password", False)
    place.config.write_text(
        f'homeserver: {{url: "{place.homeserver.base_url}", user_id: "@somebody:lethe.test", password: "not-theirs"}}\n'
        f'data_dir: "{place.data_dir}"\n'
    )
    traces = place.traces()
    code, output = await place.usual("--moderator", "bob")
    assert code == 1 and "may be somebody else's account" in output and "--take-over" in output
    assert place.traces() == traces


async def test_it_goes_on_where_it_was_stopped(place: Place) -> None:
    """Stopped before the account was made, or after the room was made and before the settings named it: another run
    goes on, and there is one account and one room."""
    code, output = await place.usual("--moderator", "nobody-of-this-name")
    assert code == 1 and "no account @nobody-of-this-name:lethe.test" in output
    assert "admin_room" not in place.settings()
    code, output = await place.usual("--moderator", "bob")
    assert code == 0, output
    whole = place.config.read_text()
    place.config.write_text(whole[: whole.index("admin_room")])
    assert (await place.usual("--moderator", "bob"))[0] == 0
    assert place.config.read_text() == whole


@pytest.mark.parametrize("admins", [1, 2])
async def test_after_a_run_that_was_stopped_the_only_admin_is_proposed(place: Place, admins: int) -> None:
    """Stopped before the room was made: the account is ready, so nobody logs in as an admin again. Who installs it is
    proposed as moderator all the same; in a script nobody is, nor where there are two."""
    if admins == 2:
        await place.homeserver.register("second", "of-second", True)
    assert (await place.usual("--moderator", "nobody-of-this-name"))[0] == 1
    code, output = await place.init("--yes")
    assert code == 1 and "--moderator" in output
    typed = {"between) [@alice:lethe.test]:": ""} if admins == 1 else {"between):": "", "spaces between):": "bob"}
    code, output = await place.init(terminal=typed)
    assert code == 0, output
    assert (
        f"invited @{'alice' if admins == 1 else 'bob'}:lethe.test" in output and "A server admin, whose" not in output
    )


async def test_settings_without_an_account_are_enough_to_go_on(place: Place) -> None:
    """Killed right after the settings were written: the password in them is the one that the account gets."""
    home = {"url": place.homeserver.base_url, "user_id": "@lethe:lethe.test", "password": "written-before"}
    place.config.touch(mode=0o600)
    place.config.write_text(yaml.safe_dump({"homeserver": home, "data_dir": "data"}))
    code, output = await place.usual("--moderator", "bob")
    assert code == 0, output
    assert place.settings()["homeserver"] == home


async def test_a_running_bot_is_left_alone(place: Place) -> None:
    """Another moderator is invited while the bot runs; its session and keys aren't touched."""
    assert (await place.usual("--moderator", "bob"))[0] == 0
    process = await asyncio.create_subprocess_exec(
        sys.executable, "bot.py", "run", "--config", str(place.config), cwd=PROJECT, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        while b"Lethe is running" not in await process.stderr.readline():
            pass
        code, output = await place.init("--moderator", "alice", "--yes")
        assert code == 0, output
        assert "The bot is running" in output and "Gave @alice:lethe.test power level 50" in output
    finally:
        process.terminate()
        assert await process.wait() == 0


async def test_a_script_hears_what_it_left_out(place: Place) -> None:
    """Each missing answer is named with its option, and nothing was written."""
    code, output = await place.init("--yes")
    assert code == 1 and "--server-name" in output
    code, output = await place.init("--admin", "@alice:lethe.test", "--yes")
    assert code == 1 and "--admin-password-file" in output
    wrong = place.password.with_name("wrong")
    wrong.write_text("not-her-password")
    options = ("--admin", "@alice:lethe.test", "--admin-password-file", str(wrong), "--moderator", "bob", "--yes")
    code, output = await place.init(*options)
    assert code == 1 and "refuses to log @alice:lethe.test in" in output and "not-her-password" not in output


async def test_where_accounts_live_in_mas(tmp_path: Path) -> None:
    """The exact lines for MAS's command line and configuration are said, and nothing is written. With what they give,
    the rest is made: the room, the settings, and a check that finds nothing missing; run again, it changes nothing."""
    mas = StandInMas()
    async with Homeserver(config=synapse_config(mas.access.url, mas.secret), real_rate_limits=True) as homeserver:
        await mas.start(homeserver)
        try:
            place = Place(homeserver, tmp_path)
            options = ["--server-name", "lethe.test", "--moderator", "bob", "--yes"]
            code, output = await place.init(*options)
            assert code == 1
            for line in (
                "mas-cli manage register-user --yes lethe",
                "mas-cli manage issue-compatibility-token lethe --yes-i-want-to-grant-synapse-admin-privileges",
                "--bot-token-file",
                "mas-cli config sync",
            ):
                assert line in output
            said = yaml.safe_load(output.partition("\n\n")[2].partition("\n\n")[0])
            (client,) = said["clients"]
            assert re.fullmatch("[0-9A-HJKMNP-TV-Z]{26}", client["client_id"])
            assert said["policy"]["data"]["admin_clients"] == [client["client_id"]]
            assert f"--mas-client-id {client['client_id']}" in output
            assert not place.config.exists()

            await mas.user("bob")
            await mas.user("lethe", admin=True)
            token, _ = await mas.log_in("lethe", admin=True)
            for name, content in (("token", token), ("mas-secret", mas.access.client_secret)):
                (tmp_path / name).write_text(f"{content}\n")
            options += ["--bot-token-file", str(tmp_path / "token"), "--mas-client-id", mas.access.client_id]
            options += ["--mas-client-secret-file", str(tmp_path / "mas-secret")]
            code, output = await place.init(*options)
            assert code == 0, output
            assert place.settings()["homeserver"]["mas"]["client_id"] == mas.access.client_id
            assert mas.access.client_secret not in output and token not in output
            before = place.traces()
            assert (await place.init(*options))[0] == 0
            assert place.traces() == before
        finally:
            await mas.close()
