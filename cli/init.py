"""`bot.py init`: everything between an empty directory and a bot that can be started. Run again, it changes nothing.

The order makes a crash harmless: the settings, with a new account's password, are on the disk before the account is
made; the admin room carries a mark by which it is found again; all else is looked at first and done only where missing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from cli import check, log
from cli.findings import explain
from cli.init_answers import Answers, Unanswered, registration_secret, secret_in, server_name_of, whole_id
from cli.init_lines import CannotGoOn, Lines, Mark
from cli.init_room import PENDING_ROOM, AdminRoomSetUp
from cli.options import DEFAULT_NAME
from cli.run import matrix_client
from config import ConfigError, Log, Settings, load, warnings
from engine.messages import CurrentAdminRoom
from engine.receiver import Receiver
from engine.unit_of_work import UnitsOfWork
from homeserver.accounts.detection import uses_mas
from homeserver.accounts.provisioning import (
    create_admin,
    make_admin,
    mas_client_lines,
    mas_lines,
    new_ulid,
    register_admin,
    set_password,
)
from homeserver.accounts.synapse import Synapse
from homeserver.client.api import Api, HomeserverError, Refused
from homeserver.client.clock import local_ms
from homeserver.client.credentials import Credentials, DeadToken, MatrixError, StoreLocked, write_private
from homeserver.client.login import login, logout, whoami
from homeserver.client.matrix_client import MatrixClient
from homeserver.client.reach import Reach, discover, look
from homeserver.client.setting_up import (
    set_name,
    set_picture,
)
from homeserver.encryption.cross_signing import IdentityStatus
from removal.ids import UserID
from storage.database import FILE, Database, StorageError

AVATAR = Path(__file__).with_name("avatar.png")
_START_SECONDS = 60.0


def main(options: argparse.Namespace) -> int:
    """Sets the bot up, and checks it; returns the exit code."""
    log.set_up(Log(level="warning"))
    return asyncio.run(_main(options))


async def _main(options: argparse.Namespace) -> int:
    """Sets the bot up, and checks it; returns the exit code: 0 where it can be started."""
    work = _Init(options)
    try:
        settings = await work.run()
    except CannotGoOn:
        return 1
    except (Unanswered, ConfigError) as error:
        work.lines.say(Mark.FAILED, "unanswered", error=str(error))
        return 1
    except (HomeserverError, MatrixError, StorageError, OSError) as error:
        work.lines.say(Mark.FAILED, "failed", error=str(error) or type(error).__name__)
        return 1
    print()
    code = await check.check(settings, warnings(options.config, settings))
    print()
    work.lines.say(
        Mark.DONE if code == 0 else Mark.NOTE, "next" if code == 0 else "not_yet", config=str(options.config)
    )
    return code


class _Init:
    """The steps, in their order."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._answers = Answers(options)
        self._config: Path = options.config
        self.lines = Lines()
        self._session: aiohttp.ClientSession

    async def run(self) -> Settings:
        """All of it; returns the settings as they stand in the file at the end."""
        async with aiohttp.ClientSession() as session:
            self._session = session
            settings, fresh = await self._settings()
            home = settings.homeserver
            token_alive = await self._own_token(settings)
            if token_alive is None:
                await self._account(settings, fresh)
            api, close = await self._on_matrix(settings, token_alive)
            try:
                await self._rate_limit(api, home.user_id)
                await self._profile(api, home.user_id)
                await AdminRoomSetUp(api, settings, self._answers, self.lines).set_up()
            finally:
                await close()
        return load(self._config)

    # --- the settings ---

    async def _settings(self) -> tuple[Settings, bool]:
        """The settings of the file, or new ones, written; and whether they are new."""
        if self._config.exists():
            settings = self._read()
            self.lines.say(Mark.ALREADY, "config_there", path=str(self._config))
            await self._reachable(settings.homeserver.url)
            return settings, False
        named = self._options.bot if ":" in (self._options.bot or "") else None
        known = server_name_of(named) or server_name_of(self._options.admin)
        server_name = known or self._answers.ask("--server-name", "Your server's name, as in @you:server")
        url = await self._find(server_name)
        bot = whole_id(self._answers.ask("--bot", "The bot's name", DEFAULT_NAME), server_name, "--bot")
        token = secret_in(self._options.bot_token_file) if self._options.bot_token_file else None
        mas = await self._mas(url, bot, token)
        data_dir = self._options.data_dir or Path("data")
        home: dict[str, Any] = {"url": url, "user_id": bot}
        if token is None:
            home["password"] = secrets.token_urlsafe(32)
        else:
            user_id, device_id = await whoami(Api(self._session, url, token))
            if user_id != bot or device_id is None:
                raise self.lines.stop("wrong_token", user=user_id, wanted=bot)
            home |= {"access_token": token, "device_id": device_id}
        if mas is not None:
            home["mas"] = mas
        self._write(home, str(data_dir.absolute() if self._options.data_dir else data_dir))
        self.lines.say(Mark.DONE, "config_written", path=str(self._config))
        return self._read(), True

    async def _mas(self, url: str, bot: str, token: str | None) -> dict[str, str] | None:
        """The settings for the MAS that keeps the accounts; None where Synapse does."""
        if not await uses_mas(Api(self._session, url, None)):
            return None
        client_id, file = self._options.mas_client_id, self._options.mas_client_secret_file
        if token is not None and client_id is not None and file is not None:
            secret_in(file)
            return {"client_id": client_id, "client_secret_file": str(file.absolute())}
        register, issue = mas_lines(UserID.parse(bot).localpart)
        self.lines.say(Mark.FAILED, "mas", register=register, issue=issue)
        client_id = client_id or new_ulid()
        print("\n", *(f"    {line}\n" for line in mas_client_lines(client_id, secrets.token_urlsafe(32))), sep="")
        raise self.lines.stop("mas_again", client=client_id)

    def _read(self) -> Settings:
        """The settings; while only the admin room is missing, with a room that isn't there."""
        try:
            return load(self._config)
        except ConfigError as error:
            if len(error.problems) > 1 or not error.problems[0].startswith("admin_room: is missing"):
                raise
            return load(self._config, {**os.environ, "LETHE_ADMIN_ROOM": PENDING_ROOM})

    def _write(self, home: dict[str, Any], data_dir: str) -> None:
        lines = [
            "# Written by `bot.py init`. All other settings have defaults: see config.example.yaml.",
            "homeserver:",
            *(f"  {key}: {json.dumps(value)}" for key, value in home.items()),
            f"data_dir: {json.dumps(data_dir)}",
        ]
        self._config.absolute().parent.mkdir(parents=True, exist_ok=True)
        write_private(self._config, "\n".join(lines) + "\n")

    async def _find(self, server_name: str) -> str:
        given: str | None = self._options.homeserver
        if given is not None:
            return await self._reachable(given.rstrip("/"))
        found = await discover(self._session, server_name)
        if found.reach is Reach.SYNAPSE:
            self.lines.say(Mark.DONE, "found", url=found.url, version=found.version)
            return found.url
        typed = self._answers.ask("--homeserver", self.lines.word("which_url", name=server_name))
        return await self._reachable(typed.rstrip("/"))

    async def _reachable(self, url: str) -> str:
        found = await look(self._session, url)
        if found.reach is not Reach.SYNAPSE:
            words = explain(self.lines.texts, found, url)
            raise self.lines.stop("unreachable", words=words)
        self.lines.say(Mark.ALREADY, "answers", url=url, version=found.version)
        return url

    # --- the bot's account ---

    async def _own_token(self, settings: Settings) -> str | None:
        """The bot's own token where it is alive and a server admin's: then nobody else's rights are needed."""
        home = settings.homeserver
        stored = Credentials.load(settings.data_dir)
        configured = home.access_token.get_secret_value() if home.access_token else None
        for token in dict.fromkeys(each for each in (configured, stored.access_token if stored else None) if each):
            api = Api(self._session, home.url, token)
            try:
                user_id, _ = await whoami(api)
            except DeadToken:
                continue
            if user_id == home.user_id and await Synapse(api).is_admin():
                self.lines.say(Mark.ALREADY, "account_ready", user=home.user_id)
                return token
        return None

    async def _account(self, settings: Settings, fresh: bool) -> None:
        """Makes the account, or takes the one that is there, and makes it a server admin."""
        home = settings.homeserver
        password = home.password.get_secret_value() if home.password else None
        if self._options.registration_secret_file is not None and password is not None:
            secret = registration_secret(self._options.registration_secret_file)
            name = UserID.parse(home.user_id).localpart
            try:
                made = await register_admin(Api(self._session, home.url, None), name, password, secret)
            except Refused as error:
                raise self.lines.stop("secret_refused", error=str(error)) from None
            if made:
                self.lines.say(Mark.DONE, "account_made", user=home.user_id)
            elif fresh:
                self._config.unlink()
                raise self.lines.stop("account_taken", user=home.user_id)
            else:
                self.lines.say(Mark.ALREADY, "account_there", user=home.user_id)
            return
        async with self._admin(settings) as api:
            synapse = Synapse(api)
            user = await synapse.user(home.user_id)
            if user is not None and user.deactivated:
                raise self.lines.stop("account_deactivated", user=home.user_id)
            if user is None:
                if password is None:
                    raise self.lines.stop("no_password", user=home.user_id)
                await create_admin(api, home.user_id, password)
                self.lines.say(Mark.DONE, "account_made", user=home.user_id)
                return
            self.lines.say(Mark.ALREADY, "account_there", user=home.user_id)
            if password is not None and (fresh or self._options.take_over):
                if not self._answers.agreed("--take-over", self.lines.word("take_over", user=home.user_id)):
                    self._config.unlink()
                    raise self.lines.stop("account_taken", user=home.user_id)
                await set_password(api, home.user_id, password)
                self.lines.say(Mark.DONE, "password_set", user=home.user_id)
            if not user.admin:
                if not fresh and not self._options.take_over:
                    await self._must_be_the_bots(settings)
                await make_admin(api, home.user_id)
                self.lines.say(Mark.DONE, "made_admin", user=home.user_id)

    async def _must_be_the_bots(self, settings: Settings) -> None:
        """Makes sure that the settings open this account: a name typed wrongly may be a person's."""
        home = settings.homeserver
        try:
            if home.password is not None:
                api = Api(self._session, home.url, None)
                opened = await login(api, home.user_id, home.password.get_secret_value())
                await logout(Api(self._session, home.url, opened.access_token))
                return
            if home.access_token is not None:
                api = Api(self._session, home.url, home.access_token.get_secret_value())
                if (await whoami(api))[0] == home.user_id:
                    return
        except MatrixError:
            pass
        raise self.lines.stop("not_the_bots", user=home.user_id)

    @asynccontextmanager
    async def _admin(self, settings: Settings) -> AsyncIterator[Api]:
        """An API with a server admin's rights; a session that is made for it ends with it."""
        url, file = settings.homeserver.url, self._options.admin_token_file
        if file is not None:
            api = Api(self._session, url, secret_in(file))
            user_id, _ = await whoami(api)
            await self._must_be_admin(api, user_id)
            self._options.admin = user_id
            yield api
            return
        server_name = settings.homeserver.server_name
        typed = self._answers.ask("--admin", "A server admin, whose rights are used once (your Matrix ID)")
        user_id = whole_id(typed, server_name, "--admin")
        session = await login(Api(self._session, url, None), user_id, self._answers.password_of(user_id))
        api = Api(self._session, url, session.access_token)
        try:
            self.lines.say(Mark.DONE, "admin_in", user=user_id)
            await self._must_be_admin(api, user_id)
            self._options.admin = user_id
            yield api
        finally:
            await logout(api)
            self.lines.say(Mark.DONE, "admin_out", user=user_id)

    async def _must_be_admin(self, api: Api, user_id: str) -> None:
        if not await Synapse(api).is_admin():
            raise self.lines.stop("no_admin", user=user_id)

    # --- on Matrix ---

    async def _on_matrix(self, settings: Settings, token: str | None) -> tuple[Api, Any]:
        """Logs the bot in (its session stays), uploads its keys and signs its device; where it runs already, only its
        token is used."""
        home = settings.homeserver
        matrix = matrix_client(settings)
        try:
            async with asyncio.timeout(_START_SECONDS):
                credentials = await matrix.start()
        except StoreLocked:
            if token is None:
                raise
            self.lines.say(Mark.ALREADY, "runs")
            return Api(self._session, home.url, token), _nothing
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._listen(matrix, settings)
        except BaseException:
            await matrix.close()
            raise
        if matrix.identity.status is IdentityStatus.OK:
            mark = Mark.DONE if token is None else Mark.ALREADY
            self.lines.say(mark, "signed", device=credentials.device_id)
        else:
            self.lines.say(Mark.NOTE, "not_signed", status=matrix.identity.status.value)
        return matrix.api, matrix.close

    async def _listen(self, matrix: MatrixClient, settings: Settings) -> None:
        """The bot's first sync, before its room is made: what people say there is meant for it even if it runs later.

        Running, it passes over what was said before it ever listened.
        """
        database = Database(settings.data_dir / FILE)
        await database.open()
        try:
            room = CurrentAdminRoom(settings.admin_room)
            receiver = Receiver(UnitsOfWork(database, self.lines.texts, local_ms, room), settings.homeserver.user_id)
            if await receiver.since() is not None:
                return
            stop = asyncio.Event()

            async def once() -> int:
                stop.set()
                return 0

            await matrix.sync_forever(None, receiver.store, stop, once)
        finally:
            await database.close()

    async def _rate_limit(self, api: Api, user_id: str) -> None:
        synapse = Synapse(api)
        override = await synapse.override_ratelimit(user_id)
        if override is not None and override.messages_per_second == 0:
            self.lines.say(Mark.ALREADY, "limit_gone")
            return
        await synapse.lift_ratelimit(user_id)
        self.lines.say(Mark.DONE, "limit_lifted")

    async def _profile(self, api: Api, user_id: str) -> None:
        done = [
            await set_name(api, user_id, self.lines.word("name")),
            await set_picture(api, user_id, AVATAR.read_bytes()),
        ]
        self.lines.say(Mark.DONE if any(done) else Mark.ALREADY, "profile_set" if any(done) else "profile_there")


async def _nothing() -> None:
    return
