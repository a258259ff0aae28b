"""A real MAS on a PostgreSQL of its own, for `make test-mas MAS=/path/to/mas-cli`. The program is given.

Its templates, translations and policy are looked for in a folder `share` beside the program (`share/policy.wasm`,
`share/templates`, `share/translations`, `share/manifest.json`); without one the program's own paths count.

Accounts, addresses, links and personal sessions are made by the admin API, sessions with a device by `mas-cli`, and a
browser's and an OAuth 2.0 client's session as rows of the database, since they come about in a browser only. What is
left of an account is read from the database, so that the admin API doesn't vouch for itself.
"""

# ruff: noqa: S608 - the ids in these statements are of our own making

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from sandbox.homeserver import CallFailed, Homeserver
from sandbox.mas import MasAccess
from sandbox.mas_records import ulid
from sandbox.prepared import die_with_parent
from sandbox.synapse_process import free_port, new_secret

POSTGRES = "postgres"
"""The account that PostgreSQL runs under where we are root, which it refuses to be."""
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class MasFailed(Exception):
    """MAS or its PostgreSQL didn't do what it should; the message has their last words."""


def _uuid(identifier: str) -> str:
    """A ULID as PostgreSQL keeps it."""
    number = 0
    for char in identifier:
        number = number * 32 + _CROCKFORD.index(char)
    digits = f"{number:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


class RealMas:
    """Starts and ends one; a `sandbox.mas.Mas`.

    Args:
        program: `mas-cli`.
    """

    def __init__(self, program: Path) -> None:
        self._program = program.resolve()
        self._port, self._database_port = free_port(), free_port()
        self.secret = new_secret()
        self.access = MasAccess(f"http://127.0.0.1:{self._port}", ulid(), new_secret())
        self._provider_id = ulid()
        self._directory = Path(tempfile.mkdtemp(prefix="lethe-mas-"))
        self._config = self._directory / "config.yaml"
        self._server: subprocess.Popen[bytes] | None = None
        self._homeserver: Homeserver
        self._token = ""

    # --- coming and going ---

    async def start(self, homeserver: Homeserver) -> None:
        self._homeserver = homeserver
        await asyncio.to_thread(self._start_database)
        generated = await asyncio.to_thread(self._run, "config", "generate", config=False)
        settings = yaml.safe_load(generated)
        settings.update(self._settings(homeserver))
        self._config.write_text(yaml.safe_dump(settings))
        with (self._directory / "mas.log").open("ab") as log:
            self._server = subprocess.Popen(  # noqa: ASYNC220 - it outlives this event loop
                [self._program, "--config", self._config, "server"],
                stdout=log, stderr=log, cwd=self._directory, preexec_fn=die_with_parent,
            )  # fmt: skip
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            while True:
                if self._server.poll() is not None:
                    raise MasFailed(f"MAS ended:\n{self._log()}")
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"{self.access.url}/.well-known/openid-configuration") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.05)

    def _settings(self, homeserver: Homeserver) -> dict[str, Any]:
        """What differs from `mas-cli config generate`. Keys as in MAS's documentation, "Configuration"."""
        share = self._program.parent / "share"
        resources = ["discovery", "human", "oauth", "compat", "graphql", "adminapi", "health"]
        listener = {
            "name": "web",
            "resources": [{"name": name} for name in resources],
            "binds": [{"address": f"127.0.0.1:{self._port}"}],
        }
        provider = {
            "id": self._provider_id, "issuer": "https://sso.example/", "human_name": "Example SSO",
            "client_id": "lethe", "token_endpoint_auth_method": "none", "scope": "openid",
            "discovery_mode": "disabled", "authorization_endpoint": "https://sso.example/authorize",
            "token_endpoint": "https://sso.example/token", "jwks_uri": "https://sso.example/jwks",
        }  # fmt: skip
        client = {
            "client_id": self.access.client_id,
            "client_auth_method": "client_secret_basic",
            "client_secret": self.access.client_secret,
        }
        # The page is at an address without https in the tests.
        registration = {"allow_insecure_uris": True}
        policy: dict[str, Any] = {
            "data": {"admin_clients": [self.access.client_id], "client_registration": registration}
        }
        settings: dict[str, Any] = {
            "http": {"public_base": self.access.url + "/", "listeners": [listener]},
            "database": {"uri": f"postgresql://{POSTGRES}@127.0.0.1:{self._database_port}/postgres"},
            "matrix": {
                "kind": "synapse",
                "homeserver": homeserver.server_name,
                "secret": self.secret,
                "endpoint": homeserver.base_url + "/",
            },
            "clients": [client],
            "policy": policy,
            "upstream_oauth2": {"providers": [provider]},
            "passwords": {"enabled": True, "minimum_complexity": 0},
            "email": {"from": "mas@lethe.test", "reply_to": "mas@lethe.test", "transport": "blackhole"},
        }
        if share.is_dir():
            policy["wasm_module"] = str(share / "policy.wasm")
            settings["templates"] = {
                "path": str(share / "templates"),
                "assets_manifest": str(share / "manifest.json"),
                "translations_path": str(share / "translations"),
            }
        return settings

    def _start_database(self) -> None:
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        found = shutil.which("initdb") or (str(programs[-1] / "initdb") if programs else "")
        if not found:
            raise MasFailed("no PostgreSQL here: on Debian and Ubuntu, apt-get install postgresql")
        self._bin = Path(found).resolve().parent
        data = self._directory / "postgres"
        data.mkdir(mode=0o700)
        self._directory.chmod(0o711)
        if os.getuid() == 0:
            shutil.chown(data, POSTGRES, POSTGRES)
        self._postgres("initdb", "-D", str(data), "-A", "trust", "-U", POSTGRES, "--no-sync")
        options = f"-p {self._database_port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        self._postgres("pg_ctl", "-D", str(data), "-l", str(data / "log"), "-o", options, "-w", "start")

    def _postgres(self, program: str, *arguments: str) -> None:
        user = pwd.getpwnam(POSTGRES).pw_uid if os.getuid() == 0 else None
        done = subprocess.run(
            [self._bin / program, *arguments], user=user, cwd="/", check=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        if done.returncode:
            raise MasFailed(f"{program}: {done.stderr}")

    def _run(self, *arguments: str, config: bool = True) -> str:
        given = ["--config", str(self._config)] if config else []
        done = subprocess.run(
            [self._program, *given, *arguments], cwd=self._directory, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise MasFailed(f"mas-cli {' '.join(arguments)}: {done.stderr[-2000:]}{done.stdout[-500:]}")
        return done.stdout if not config else done.stdout + done.stderr

    def _log(self) -> str:
        return (self._directory / "mas.log").read_text(errors="replace")[-3000:]

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        if self._server is not None and self._server.poll() is None:
            self._server.send_signal(signal.SIGTERM)
            try:
                self._server.wait(10)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
        self._postgres("pg_ctl", "-D", str(self._directory / "postgres"), "-m", "immediate", "stop")
        shutil.rmtree(self._directory, ignore_errors=True)

    # --- preparing ---

    async def user(self, localpart: str, *, admin: bool = False) -> str:
        made = await self._admin("POST", "users", {"username": localpart, "skip_homeserver_check": True})
        mas_id = str(made["data"]["id"])
        if admin:
            await self._admin("POST", f"users/{mas_id}/set-admin", {"admin": True})
        async with asyncio.timeout(30):  # its queue tells Synapse
            while True:
                with contextlib.suppress(CallFailed):
                    path = f"/_synapse/mas/query_user?localpart={localpart}"
                    await self._homeserver.call("GET", path, token=self.secret)
                    return mas_id
                await asyncio.sleep(0.05)

    async def log_in(self, localpart: str, *, admin: bool = False) -> tuple[str, str]:
        device_id = secrets.token_hex(5).upper()
        rights = ["--yes-i-want-to-grant-synapse-admin-privileges"] if admin else []
        command = ["manage", "issue-compatibility-token", localpart, device_id, *rights]
        said = await asyncio.to_thread(self._run, *command)
        token = re.search(r"mct_\w+", said)
        if token is None:
            raise MasFailed(f"no token in: {said[-500:]}")
        return token.group(), device_id

    async def furnish(self, localpart: str, email: str) -> None:
        mas_id = await self._id(localpart)
        await self._admin("POST", "user-emails", {"user_id": mas_id, "email": email})
        link = {"user_id": mas_id, "provider_id": self._provider_id, "subject": email}
        await self._admin("POST", "upstream-oauth-links", link)
        personal = {"actor_user_id": mas_id, "human_name": "made by hand", "scope": "urn:matrix:client:api:*"}
        await self._admin("POST", "personal-sessions", personal)
        await self.log_in(localpart)
        device_id = secrets.token_hex(5).upper()
        body = {"localpart": localpart, "device_id": device_id}
        await self._homeserver.call("POST", "/_synapse/mas/upsert_device", token=self.secret, json=body)
        browser, oauth2, owner = _uuid(ulid()), _uuid(ulid()), _uuid(mas_id)
        await self._sql(
            f"INSERT INTO user_sessions (user_session_id, user_id, created_at) VALUES ('{browser}', '{owner}', now());"
            "INSERT INTO oauth2_sessions (oauth2_session_id, user_session_id, user_id, oauth2_client_id, scope_list,"
            f" created_at) VALUES ('{oauth2}', '{browser}', '{owner}', '{_uuid(self.access.client_id)}',"
            f" ARRAY['openid', 'urn:matrix:client:api:*', 'urn:matrix:client:device:{device_id}'], now());"
        )

    async def active(self, localpart: str) -> dict[str, int]:
        owner = _uuid(await self._id(localpart))
        counts = {
            "compat-sessions": f"compat_sessions WHERE user_id = '{owner}' AND finished_at IS NULL",
            "oauth2-sessions": f"oauth2_sessions WHERE user_id = '{owner}' AND finished_at IS NULL",
            "user-sessions": f"user_sessions WHERE user_id = '{owner}' AND finished_at IS NULL",
            "personal-sessions": "personal_sessions WHERE revoked_at IS NULL AND "
            f"'{owner}' IN (owner_user_id, actor_user_id)",
        }
        return {kind: int(await self._sql(f"SELECT count(*) FROM {where}")) for kind, where in counts.items()}

    async def state(self, localpart: str) -> dict[str, Any]:
        owner = _uuid(await self._id(localpart))
        row = await self._sql(f"SELECT row_to_json(users) FROM users WHERE user_id = '{owner}'")
        emails = await self._sql(f"SELECT count(*) FROM user_emails WHERE user_id = '{owner}'")
        links = await self._sql(f"SELECT count(*) FROM upstream_oauth_links WHERE user_id = '{owner}'")
        return {**json.loads(row), "emails": int(emails), "links": int(links)}

    async def lock(self, localpart: str) -> None:
        await self._admin("POST", f"users/{await self._id(localpart)}/lock")

    async def set_password(self, localpart: str, password: str) -> None:
        body = {"password": password, "skip_password_check": True}
        await self._admin("POST", f"users/{await self._id(localpart)}/set-password", body)

    async def age_log_ins(self, seconds: int) -> None:
        await self._sql(
            f"UPDATE user_session_authentications SET created_at = created_at - interval '{seconds} seconds'"
        )

    async def make_admin(self, localpart: str) -> None:
        await self._admin("POST", f"users/{await self._id(localpart)}/set-admin", {"admin": True})

    # --- inside ---

    async def _id(self, localpart: str) -> str:
        return str((await self._admin("GET", f"users/by-username/{localpart}"))["data"]["id"])

    async def _admin(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        async with aiohttp.ClientSession(self.access.url) as session:
            for _ in range(2):
                headers = {"Authorization": f"Bearer {self._token or 'none'}"}
                async with session.request(method, f"/api/admin/v1/{path}", json=body, headers=headers) as answer:
                    if answer.status == 204:
                        return {}
                    if answer.status != 401:
                        if answer.status >= 300:
                            raise MasFailed(f"{method} {path}: {answer.status} {await answer.text()}\n{self._log()}")
                        return dict(await answer.json())
                form = {"grant_type": "client_credentials", "scope": "urn:mas:admin"}
                auth = {"Authorization": aiohttp.encode_basic_auth(self.access.client_id, self.access.client_secret)}
                async with session.post("/oauth2/token", data=form, headers=auth) as answer:
                    if answer.status != 200:
                        raise MasFailed(f"token: {answer.status} {await answer.text()}\n{self._log()}")
                    self._token = (await answer.json())["access_token"]
        raise MasFailed(f"{method} {path}: 401 with a new token")

    async def _sql(self, statement: str) -> str:
        def ask() -> str:
            server = ["-h", "127.0.0.1", "-p", str(self._database_port), "-U", POSTGRES]
            command = [str(self._bin / "psql"), *server, "-Atqc", statement]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise MasFailed(f"psql: {done.stderr}")
            return done.stdout.strip()

        return await asyncio.to_thread(ask)
