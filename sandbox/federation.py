"""A throw-away Synapse that federates with others on this machine, over TLS, as `localhost:PORT`."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sandbox.homeserver import Homeserver
from sandbox.synapse_process import free_port, new_secret


def _certificate(certificate: Path, key: Path) -> None:
    """Writes a key, and a certificate for `localhost` that it signs itself."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    key.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))


class FederatedHomeserver(Homeserver):
    """A homeserver with its port for other servers. Clients have their own, without TLS, as usual.

    Args:
        config: as for `Homeserver`.
    """

    def __init__(self, *, config: dict[str, Any] | None = None) -> None:
        self.federation_port = free_port()
        super().__init__(server_name=f"localhost:{self.federation_port}", config=config)
        certificate, key = self.data_dir / "tls.crt", self.data_dir / "tls.key"
        _certificate(certificate, key)
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
