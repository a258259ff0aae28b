"""A real OpenID provider, for single sign-on: node-oidc-provider, as a process of its own."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sandbox.node import DIRECTORY
from sandbox.programs import Program
from sandbox.synapse_process import free_port, new_secret


class OpenIdProvider:
    """Its log-in page takes any name: whoever says `name` is the homeserver's account of that localpart."""

    def __init__(self, homeserver_url: str) -> None:
        """Args: homeserver_url: where the homeserver will be, which the browser comes back to."""
        self._homeserver_url = homeserver_url
        self._secret = new_secret()
        self._directory = Path(tempfile.mkdtemp(prefix="lethe-openid-"))
        port = free_port()
        self.issuer = f"http://127.0.0.1:{port}"
        redirect = f"{homeserver_url}/_synapse/client/oidc/callback"
        node = shutil.which("node") or "node"
        script = str(DIRECTORY / "openid.mjs")
        self._program = Program(
            [node, script, str(port), "homeserver", self._secret, redirect], port, self._directory / "log"
        )

    def config(self, *names: str) -> dict[str, Any]:
        """What Synapse needs to know: one entry for each of the names that its log-in page shows.

        Source: https://element-hq.github.io/synapse/latest/openid.html
        """
        return {
            "public_baseurl": f"{self._homeserver_url}/",
            "oidc_providers": [
                {
                    "idp_id": name.lower().replace(" ", "-"),
                    "idp_name": name,
                    "issuer": self.issuer,
                    "skip_verification": True,  # of https, which there is none here
                    "client_id": "homeserver",
                    "client_secret": self._secret,
                    "scopes": ["openid", "profile"],
                    "allow_existing_users": True,
                    "user_mapping_provider": {"config": {"localpart_template": "{{ user.sub }}"}},
                }
                for name in names
            ],
        }

    async def __aenter__(self) -> Self:
        await self._program.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._program.stop()
        shutil.rmtree(self._directory, ignore_errors=True)
