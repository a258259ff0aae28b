"""A throw-away Synapse that federates with others on this machine, over TLS, as `localhost:PORT`."""

from __future__ import annotations

import os
import signal
from typing import Any

import yaml

from sandbox.certificate import write_certificate
from sandbox.homeserver import Homeserver
from sandbox.synapse_process import free_port, new_secret


class FederatedHomeserver(Homeserver):
    """A homeserver with its port for other servers. Clients have their own, without TLS, as usual.

    Args:
        config: as for `Homeserver`.
    """

    def __init__(self, *, config: dict[str, Any] | None = None) -> None:
        self.federation_port = free_port()
        super().__init__(server_name=f"localhost:{self.federation_port}", config=config)
        certificate, key = self.data_dir / "tls.crt", self.data_dir / "tls.key"
        write_certificate(certificate, key, "localhost")
        listener = {
            "port": self.federation_port,
            "type": "http",
            "tls": True,
            "bind_addresses": ["127.0.0.1"],
            "resources": [{"names": ["federation"]}],
        }
        self.as_token = new_secret()
        """Acts for any account here (`?user_id=`) and sets the time of what it sends (`&ts=`): an application
        service's right, and what a server that lies can do with its own people's events."""
        registration = self.data_dir / "time.yaml"
        registration.write_text(yaml.safe_dump(self._registration()), "utf-8")
        if not config or "federation_domain_whitelist" not in config:
            del self.config["federation_domain_whitelist"]
        self.config |= {
            "listeners": [listener],
            "tls_certificate_path": str(certificate),
            "tls_private_key_path": str(key),
            "federation_verify_certificates": False,
            "ip_range_blacklist": [],
            "app_service_config_files": [str(registration)],
        }

    def _registration(self) -> dict[str, Any]:
        return {
            "id": "time",
            "url": None,
            "as_token": self.as_token,
            "hs_token": new_secret(),
            "sender_localpart": "time",
            "rate_limited": False,
            "namespaces": {"users": [{"exclusive": False, "regex": "@.*"}], "rooms": [], "aliases": []},
        }

    async def restart_with(self, **config: Any) -> None:
        """Restart it with other settings; None takes one out."""
        await self.stop()
        self.config = {key: value for key, value in {**self.config, **config}.items() if value is not None}
        await self.start()

    def hang(self) -> None:
        """From now on it accepts connections and answers nothing, until `go_on`."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """It answers again."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            os.kill(self.pid, number)
