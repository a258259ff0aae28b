"""The settings under `receipt.smtp` and `self_service.web`: whole, safe on the way, and no secret ever shown; and what
`check` says of the mail server."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cli.check import look_at_mail
from cli.findings import Report
from cli.mail import mail_server as of_settings
from config import ConfigError, Settings, load, warnings
from engine.mail import MailServer
from tests.support.mail_server import mail_server
from texts import Texts

SECRET = "correct-horse-battery"
USUAL = """
homeserver: {url: "https://matrix.test", user_id: "@lethe:test", access_token: syt_x, device_id: DEV}
admin_room: "!abc:test"
data_dir: /tmp/lethe
"""


def settings(tmp_path: Path, more: str) -> Settings:
    """The usual settings and these."""
    file = tmp_path / "config.yaml"
    file.write_text(USUAL + more)
    file.chmod(0o600)
    return load(file, {})


@pytest.mark.parametrize(
    ("smtp", "said"),
    [
        ("host: m.test", "from_address is missing"),
        ("from_address: a@m.test", "host is missing"),
        ("host: m.test, from_address: nobody", "must be an e-mail address such as"),
        ("host: m.test, from_address: a@m.test, user: u", "give both, or neither"),
        (f"host: m.test, from_address: a@m.test, password: {SECRET}", "give both, or neither"),
        (f"host: m.test, from_address: a@m.test, user: u, password: {SECRET}, password_file: f", "are both given"),
        (f"host: m.test, from_address: a@m.test, user: u, password: {SECRET}, tls: none", "in clear text"),
        ("host: m.test, from_address: a@m.test, port: 0", "receipt.smtp.port"),
        ("host: m.test, from_address: a@m.test, tls: ssl", "receipt.smtp.tls"),
    ],
)
def test_half_a_mail_server_is_told(tmp_path: Path, smtp: str, said: str) -> None:
    """Each mistake with what would be right, without the secret."""
    with pytest.raises(ConfigError) as raised:
        settings(tmp_path, f"receipt: {{smtp: {{{smtp}}}}}")
    assert said in str(raised.value)
    assert SECRET not in str(raised.value)


def test_a_password_in_a_file(tmp_path: Path) -> None:
    """It is read, shown nowhere, and told where others can read it."""
    (tmp_path / "mail").write_text(SECRET + "\n")
    (tmp_path / "mail").chmod(0o644)
    found = settings(
        tmp_path, "receipt: {smtp: {host: m.test, from_address: a@m.test, user: u, password_file: mail, tls: tls}}"
    )
    server = of_settings(found.receipt.smtp)
    assert server is not None and server.password == SECRET
    assert SECRET not in repr(found) + repr(server)
    assert any("chmod 600" in each and "mail" in each for each in warnings(tmp_path / "config.yaml", found))


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://leave.test", True),
        ("http://127.0.0.1:8010", True),
        ("http://localhost", True),
        ("http://leave.test", False),
        ("http://127.0.0.1.leave.test", False),
    ],
)
def test_the_page_is_https_except_on_this_machine(tmp_path: Path, url: str, *, allowed: bool) -> None:
    """People type passwords there."""
    more = f'self_service: {{web: {{listen: "127.0.0.1:8010", public_url: "{url}"}}}}'
    if allowed:
        assert settings(tmp_path, more).self_service.web.public_url == url
    else:
        with pytest.raises(ConfigError, match="public_url must be https"):
            settings(tmp_path, more)


@pytest.mark.parametrize(("password", "key"), [("right", "mail_ready"), ("wrong", "mail_refused")])
async def test_check_tries_the_mail_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], password: str, key: str
) -> None:
    """It logs in and sends nothing."""
    async with mail_server(tmp_path) as box:

        def of_these(_: object) -> MailServer:
            return box.server if password == "right" else replace(box.server, password=SECRET)

        monkeypatch.setattr("cli.check.mail_server", of_these)
        report = Report(Texts(), as_json=True, fixing=False)
        await look_at_mail(settings(tmp_path, ""), report)
        assert report.end() == (0 if key == "mail_ready" else 1)
    shown = capsys.readouterr().out
    assert key in json.dumps(shown) and SECRET not in shown
    assert box.mails == []
