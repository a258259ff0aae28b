"""The settings under `homeserver.mas`: one way in, told plainly where it isn't whole, and no secret ever shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config import ConfigError, Settings, load, warnings

SECRET = "correct-horse-battery"
USUAL = """
homeserver:
  url: https://matrix.test
  user_id: "@lethe:test"
  access_token: syt_x
  device_id: DEV
  mas: {}
admin_room: "!abc:test"
data_dir: /tmp/lethe
"""


def settings(tmp_path: Path, environ: dict[str, str] | None = None, **mas: Any) -> Settings:
    """The usual settings with these under `homeserver.mas`."""
    file = tmp_path / "config.yaml"
    written = ", ".join(f"{key}: {value}" for key, value in mas.items())
    file.write_text(USUAL.replace("mas: {}", f"mas: {{{written}}}"))
    file.chmod(0o600)
    return load(file, environ or {})


@pytest.mark.parametrize(
    ("mas", "said"),
    [
        ({"client_id": "C"}, "client_secret or client_secret_file is missing"),
        ({"client_secret": SECRET}, "client_id is missing"),
        ({"client_secret_file": "f"}, "client_id is missing"),
        ({"client_id": "C", "client_secret": SECRET, "client_secret_file": "f"}, "are both given"),
        ({"client_id": "C", "client_secret": SECRET, "token_file": "f"}, "keep one way in"),
        ({"url": "https://mas.test"}, "the bot can't log in there"),
        ({"url": "mas.test", "token_file": "f"}, "homeserver.mas.url: got 'mas.test'; must be an address"),
        ({"client_id": "'a:b'", "client_secret": SECRET}, "homeserver.mas.client_id"),
        ({"clientid": "C"}, "did you mean homeserver.mas.client_id?"),
    ],
)
def test_half_a_way_in_is_told(tmp_path: Path, mas: dict[str, Any], said: str) -> None:
    """Each mistake is told with its place and what would be right, without the secret."""
    with pytest.raises(ConfigError) as raised:
        settings(tmp_path, **mas)
    assert said in str(raised.value)
    assert SECRET not in str(raised.value)


def test_nothing_given_is_nothing(tmp_path: Path) -> None:
    """An empty section, as the example shows it, means a server without MAS."""
    assert settings(tmp_path).homeserver.mas.given is False
    assert settings(tmp_path, url="null", client_id="null").homeserver.mas.given is False


def test_the_secret_comes_from_a_file_or_the_environment(tmp_path: Path) -> None:
    """A file counts from the settings' place; a variable replaces it; neither is ever shown."""
    (tmp_path / "secret").write_text(SECRET + "\n")
    (tmp_path / "secret").chmod(0o600)
    by_file = settings(tmp_path, client_id="C", client_secret_file="secret")
    by_variable = settings(
        tmp_path, {"LETHE_HOMESERVER__MAS__CLIENT_SECRET": SECRET}, client_id="C", client_secret_file="gone"
    )
    for found in (by_file, by_variable):
        assert found.homeserver.mas.client_secret is not None
        assert found.homeserver.mas.client_secret.get_secret_value() == SECRET
        assert SECRET not in repr(found)
    assert by_file.homeserver.mas.client_secret_file == tmp_path / "secret"


def test_a_token_file_stays_a_file(tmp_path: Path) -> None:
    """It is read when it is needed, so that the token can be exchanged; only its place is kept."""
    found = settings(tmp_path, token_file="token")
    assert found.homeserver.mas.token_file == tmp_path / "token"


def test_files_that_others_can_read_are_pointed_out(tmp_path: Path) -> None:
    """The client's secret and the token's file are secrets like the password."""
    (tmp_path / "token").write_text("mpt_x")
    (tmp_path / "token").chmod(0o644)
    found = settings(tmp_path, token_file="token")
    assert any(f"chmod 600 {tmp_path / 'token'}" in each for each in warnings(tmp_path / "config.yaml", found))
    found = settings(tmp_path, client_id="C", client_secret=SECRET)
    (tmp_path / "config.yaml").chmod(0o644)
    assert any("config.yaml holds a secret" in each for each in warnings(tmp_path / "config.yaml", found))
    assert not any("homeserver.password isn't given" in each for each in warnings(tmp_path / "config.yaml", found))
