"""Broken set-ups, as admins make them: `check` and `run` name what is wrong within seconds and without a traceback."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from sandbox.homeserver import Homeserver
from sandbox.lethe import PROJECT, Lethe
from sandbox.scene import Scene
from sandbox.synapse_process import free_port
from tests.support.not_homeservers import not_homeservers

pytestmark = pytest.mark.asyncio(loop_scope="module")

WITHIN = 6.0
"""Seconds until a command says what is wrong, beside those that it takes to load its modules: one or two, and many on a
busy machine."""


class Stage(Scene):
    """A room with a bot that never runs itself, and the servers that are no homeserver."""

    elsewhere: dict[str, str]
    loading: dict[str, float]
    """Seconds until a command says that its settings aren't there: it has loaded everything then, and asked nothing."""


@dataclass
class Broken:
    """One broken set-up.

    Attributes:
        says: what `check` and `run` must both say.
        run: what `run` says instead, where it differs; "" where it runs all the same.
        makes: breaks it; gets the stage and the bot, whose settings are right until then.
    """

    name: str
    says: str
    makes: Callable[[Stage, Lethe], Awaitable[None] | None]
    run: str | None = None


def home(**values: Any) -> Callable[[Stage, Lethe], None]:
    """Changes what the settings say of the homeserver."""
    return lambda stage, bot: bot.configure(homeserver=values)


def at(kind: str, scheme: str = "") -> Callable[[Stage, Lethe], None]:
    """The address of something that is no homeserver."""
    return lambda stage, bot: bot.configure(homeserver={"url": scheme + stage.elsewhere[kind]})


def text(content: str) -> Callable[[Stage, Lethe], None]:
    """The whole settings file."""

    def write(_: Stage, bot: Lethe) -> None:
        bot.config.write_text(content)

    return write


def no_such_room(_: Stage, bot: Lethe) -> None:
    bot.configure(admin_room="!nowhere:lethe.test")


def of_another_server(stage: Stage, bot: Lethe) -> None:
    bot.configure(homeserver={"user_id": stage.bot_id.replace("lethe.test", "example.org")})


def without_room(_: Stage, bot: Lethe) -> None:
    del bot.settings["admin_room"]
    bot.configure()


def wrong_scheme(stage: Stage, bot: Lethe) -> None:
    bot.configure(homeserver={"url": stage.homeserver.base_url.replace("http:", "https:")})


async def a_plain_account(stage: Stage, bot: Lethe) -> None:
    user = await stage.account("plain")
    bot.configure(homeserver={"user_id": user, "password": stage.passwords[user]})


async def a_deactivated_account(stage: Stage, bot: Lethe) -> None:
    user = await stage.account("gone")
    await stage.admin("POST", f"v1/deactivate/{user}", json={"erase": False})
    bot.configure(homeserver={"user_id": user, "password": stage.passwords[user]})


def another_accounts_token(stage: Stage, bot: Lethe) -> None:
    own = {"access_token": stage.moderator.access_token, "device_id": stage.moderator.device_id, "password": None}
    bot.configure(homeserver=own)


async def a_token_without_device(stage: Stage, bot: Lethe) -> None:
    root = await stage.account("root", admin=True)
    path = f"/_synapse/admin/v1/users/{stage.bot_id}/login"
    made = await stage.homeserver.call("POST", path, token=stage.tokens[root], json={})
    bot.configure(homeserver={"access_token": made["access_token"], "device_id": "NONE", "password": None})


async def banned(stage: Stage, bot: Lethe) -> None:
    room = await stage.moderator.create_room(encrypted=True)
    path = "/_matrix/client/v3/rooms/{}/ban"
    await stage.moderator.call("POST", path, room, json={"user_id": stage.bot_id})
    bot.configure(admin_room=room)


async def outside(stage: Stage, bot: Lethe) -> None:
    bot.configure(admin_room=await stage.moderator.create_room(encrypted=True))


def a_file_for_data(_: Stage, bot: Lethe) -> None:
    bot.data_dir.write_text("not a directory")


def data_below_a_file(_: Stage, bot: Lethe) -> None:
    bot.configure(data_dir=str(bot.config / "data"))


def somebody_elses_data(stage: Stage, bot: Lethe) -> None:
    bot.data_dir.mkdir(mode=0o700)
    stored = {"user_id": "@other:lethe.test", "device_id": "X", "access_token": "syt_x"}
    write(bot, "credentials.json", json.dumps(stored))


def write(bot: Lethe, name: str, content: str) -> None:
    bot.data_dir.mkdir(mode=0o700, exist_ok=True)
    (bot.data_dir / name).touch(mode=0o600)
    (bot.data_dir / name).write_text(content)


def newer_database(_: Stage, bot: Lethe) -> None:
    write(bot, "lethe.db", "")
    with closing(sqlite3.connect(bot.data_dir / "lethe.db")) as database:
        database.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        database.execute("PRAGMA user_version = 999")
        database.commit()


async def lost_keys(stage: Stage, bot: Lethe) -> None:
    await bot.start()
    await bot.stop()
    shutil.rmtree(bot.data_dir / "crypto")
    del bot.settings["homeserver"]["password"]
    stored = json.loads((bot.data_dir / "credentials.json").read_text())
    bot.configure(homeserver={"access_token": stored["access_token"], "device_id": stored["device_id"]})


async def running_already(stage: Stage, bot: Lethe) -> None:
    await bot.start()


async def revoked(stage: Stage, bot: Lethe) -> None:
    made = await stage.homeserver.call(
        "POST",
        "/_matrix/client/v3/login",
        json={
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": stage.bot_id},
            "password": stage.passwords[stage.bot_id],
        },
    )
    await stage.homeserver.call("POST", "/_matrix/client/v3/logout", token=made["access_token"], json={})
    own = {"access_token": made["access_token"], "device_id": made["device_id"], "password": None}
    bot.configure(homeserver=own)


CASES = (
    Broken("no settings", "No such file or directory. `bot.py init` writes it", lambda _, bot: bot.config.unlink()),
    Broken("settings are a list", "must hold keys and values", text("- a\n")),
    Broken("no YAML", "isn't valid YAML", text("admin_room: #x\n  homeserver: !a\n b\n")),
    Broken("a misspelt key", "did you mean admin_room?", lambda _, bot: bot.configure(adminroom="!a")),
    Broken("a missing key", "`bot.py init` makes the room, and writes it here", without_room),
    Broken("no way in", "the bot can't log in: give password", home(password=None)),
    Broken("both ways", "password and password_file are both given", home(password_file="x")),
    Broken("no password file", "homeserver.password_file: ", home(password=None, password_file="nowhere")),
    Broken("an address without scheme", "must be an address such as https://", home(url="matrix.lethe.test")),
    Broken("no such language", "language: got 'xx'", lambda _, bot: bot.configure(language="xx")),
    Broken("https on an http port", "is the wrong scheme: the homeserver answers at http://", wrong_scheme),
    Broken("http on an https port", "is the wrong scheme: the homeserver answers at https://", at("tls", "http://")),
    Broken("nothing listens", "Nothing listens at", home(url=f"http://127.0.0.1:{free_port()}")),
    Broken("no such name", "there is no machine of that name", home(url="http://no-such-host.invalid:8008")),
    Broken("silence", "doesn't answer (no answer within", at("silent")),
    Broken("a website", "Something else than a homeserver listens at", at("website")),
    Broken("a redirect", "redirects to https://matrix.lethe.test", at("redirect")),
    Broken("another place by .well-known", "its .well-known says that the homeserver is at", at("well_known")),
    Broken("a proxy without homeserver", "can't reach the homeserver (it answers 502)", at("gateway")),
    Broken("a proxy without admin API", "admin API can't be reached there", at("client_only")),
    Broken("a certificate nobody trusts", "has a certificate that isn't trusted", at("tls", "https://")),
    Broken("a wrong password", "refuses to log", home(password="wrong")),
    Broken("another server's user_id", "the homeserver is lethe.test, but @", of_another_server),
    Broken("no such account", "refuses to log @nobody:lethe.test in", home(user_id="@nobody:lethe.test")),
    Broken("a deactivated account", "such an account that isn't deactivated", a_deactivated_account),
    Broken("no server admin", "isn't a server admin, so it can't remove anyone", a_plain_account),
    Broken("a dead token", "the homeserver doesn't know the access token", revoked),
    Broken("another account's token", "token belongs to @moderator", another_accounts_token),
    Broken("a token without device", "belongs to no device", a_token_without_device),
    Broken(
        "no such room", "this homeserver knows no room", lambda _, bot: bot.configure(admin_room="!nowhere:lethe.test")
    ),
    Broken(
        "no such address",
        "there is no room with the address",
        lambda _, bot: bot.configure(admin_room="#nowhere:lethe.test"),
    ),
    Broken("nobody invited it", "and nobody invited it.", outside),
    Broken("banned", "is banned from the admin room", banned),
    Broken("data_dir is a file", "data_dir: ", a_file_for_data),
    Broken("data_dir below a file", "data_dir: ", data_below_a_file),
    Broken("somebody else's data_dir", "belongs to @other:lethe.test", somebody_elses_data),
    Broken("damaged log-in", "credentials.json is damaged", lambda _, bot: write(bot, "credentials.json", "{")),
    Broken("damaged database", "lethe.db", lambda _, bot: write(bot, "lethe.db", "no database at all " * 90)),
    Broken("newer database", "written by a newer version", newer_database),
    Broken("damaged identity", "cross_signing.json is damaged", lambda _, bot: write(bot, "cross_signing.json", "{}")),
    Broken("lost keys", "encryption keys of device", lost_keys),
    Broken("running already", "", running_already, run="another Lethe is running on"),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(homeserver: Homeserver, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """A homeserver with a bot's account and room, and beside it servers that are none."""
    made = Stage(homeserver)
    await made.set_up(start=False)
    await made.moderator.call("POST", "/_matrix/client/v3/rooms/{}/invite", made.room, json={"user_id": made.bot_id})
    try:
        async with not_homeservers(homeserver.base_url, tmp_path_factory.mktemp("tls")) as elsewhere:
            made.elsewhere = elsewhere
            made.loading = {}
            bot = Lethe(homeserver.base_url, made.bot_id, "", made.room)
            bot.config.unlink()
            for command in ("check", "run"):
                _, made.loading[command] = await said(bot, command, "No such file")
            yield made
    finally:
        await made.close()


async def said(bot: Lethe, command: str, words: str) -> tuple[str, float]:
    """What a command prints until it ends (`run` is stopped when it said this), and how many seconds after its start it
    said this."""
    began, output, found = time.monotonic(), "", 0.0
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", "bot.py", command, "--config", str(bot.config), cwd=PROJECT, env=bot.environ(),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            while line := await process.stdout.readline():
                output += line.decode()
                if not found and words and words in output:
                    found = time.monotonic() - began
                    if command == "run":
                        process.terminate()
    except TimeoutError:
        pass
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    return output, found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "_"))
async def test_a_broken_set_up_is_named(stage: Stage, case: Broken) -> None:
    """`check` fails, `run` ends or waits, and both say what it is within seconds."""
    bot = Lethe(stage.homeserver.base_url, stage.bot_id, stage.passwords[stage.bot_id], stage.room)
    bot.environment["SSL_CERT_FILE"] = "" if case.name.startswith("a certificate") else stage.elsewhere["trusted"]
    try:
        made = case.makes(stage, bot)
        if made is not None:
            await made
        output, seconds = await said(bot, "check", case.says)
        assert case.says in output and "Traceback" not in output, output
        assert (seconds > 0 or not case.says) and seconds < stage.loading["check"] + WITHIN, output
        output, seconds = await said(bot, "run", case.says if case.run is None else case.run)
        assert (case.says if case.run is None else case.run) in output and "Traceback" not in output, output
        assert seconds < stage.loading["run"] + WITHIN, output
    finally:
        await bot.close()
