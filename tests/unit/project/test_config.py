"""The settings: what the example shows is what the code does, and whoever mistypes is told what would be right."""

from __future__ import annotations

import traceback
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import config
from config import ConfigError, Settings, load

EXAMPLE = Path(__file__).parents[3] / "config.example.yaml"
SECRET = "correct-horse-battery"
MINIMAL: dict[str, Any] = {
    "homeserver": {"url": "https://matrix.test", "user_id": "@lethe:test", "password": SECRET},
    "admin_room": "!admins",
    "data_dir": "/var/lib/lethe",
}


def write(directory: Path, data: object) -> Path:
    """Writes settings to a file nobody else can read: data as YAML, a string as it is."""
    path = directory / "config.yaml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
    path.chmod(0o600)
    return path


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """The minimal settings with `section.key` replaced, or taken away where the value is `...`."""
    data = {key: dict(value) if isinstance(value, dict) else value for key, value in MINIMAL.items()}
    for key, value in changes.items():
        *sections, last = key.split(".")
        place = data
        for section in sections:
            place = place.setdefault(section, {})
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return data


def problems(directory: Path, changes: dict[str, Any], environ: dict[str, str] | None = None) -> str:
    """What `load` says about the minimal settings with these changes."""
    with pytest.raises(ConfigError) as raised:
        load(write(directory, changed(changes)), environ or {})
    return str(raised.value)


def flat(data: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Nested settings by path."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        found |= flat(value, f"{above}{key}.") if isinstance(value, dict) and value else {f"{above}{key}": value}
    return found


def test_the_example_shows_every_key_and_no_other() -> None:
    """Who reads config.example.yaml has seen every setting there is."""
    assert set(flat(yaml.safe_load(EXAMPLE.read_text()))) == set(config.keys())


def test_the_example_says_how_many_values_to_fill_in() -> None:
    """Its first lines count the marks below them."""
    head, _, rest = EXAMPLE.read_text().partition("\n\n")
    assert "fill in the five values marked FILL IN" in head and rest.count("# FILL IN") == 5


def test_the_example_shows_the_real_defaults(tmp_path: Path) -> None:
    """Every value that needn't be filled in is, in the example, the one that the code takes when it is left out."""
    example = yaml.safe_load(EXAMPLE.read_text())
    example["homeserver"]["password"] = SECRET
    shown = load(write(tmp_path, example), {})
    required = {
        "homeserver": {key: example["homeserver"][key] for key in ("url", "user_id", "password")},
        "admin_room": example["admin_room"],
        "data_dir": example["data_dir"],
    }
    assert shown == load(write(tmp_path, required), {})


def test_every_key_of_the_example_is_explained() -> None:
    """Above every key or section of the example stands a comment, or the key continues a commented group."""
    lines = EXAMPLE.read_text().splitlines()
    bare = [
        line.strip()
        for before, line in pairwise(lines)
        if line.strip() and not line.strip().startswith("#") and not line.strip().endswith(":")
        if not before.strip().startswith("#")
    ]
    assert bare == ["access_token_file: null", "device_id: null"]


def test_few_settings_are_enough(tmp_path: Path) -> None:
    """Address, account, a way to log in, the room and the directory: all else has a default."""
    settings = load(write(tmp_path, MINIMAL), {})
    assert settings.homeserver.server_name == "test"
    assert settings.confirmation.expires_after == timedelta(minutes=10)
    assert settings.self_service.grace_period == timedelta(days=7)
    assert settings.audit.retention is None
    assert config.warnings(tmp_path / "config.yaml", settings) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"admin_room": ...}, 'admin_room: is missing; such as "#admins:example.org"'),
        ({"homeserver": ...}, "homeserver: is missing; see config.example.yaml"),
        ({"admin_room": None}, 'admin_room: is empty; such as "#admins:example.org" (a value that begins with #'),
        ({"admin_room": "admins"}, "admin_room: got 'admins'; must be a room's id such as"),
        ({"moderators.power_level": "lots"}, "moderators.power_level: got 'lots'; must be a whole number"),
        ({"moderators.power_level": True}, "moderators.power_level: got true; must be a whole number"),
        ({"moderators.power_level": 0}, "moderators.power_level: got 0; must be at least 1"),
        ({"moderators.powerlevel": 1}, "powerlevel: there is no such key; did you mean moderators.power_level?"),
        ({"power_level": 50}, "power_level: there is no such key; did you mean moderators.power_level?"),
        ({"moderator": {}}, "moderator: there is no such key; did you mean moderators?"),
        ({"zzz": 1}, "zzz: there is no such key"),
        ({"moderators": "@a:test"}, "moderators: must hold keys of its own"),
        ({"moderators.users": "@a:test"}, "moderators.users: got '@a:test'; must be a list, such as"),
        ({"moderators.users": ["@a:test", "b"]}, "moderators.users[2]: got 'b'; a Matrix ID begins with @"),
        ({"moderators.allow_remote": "maybe"}, "moderators.allow_remote: got 'maybe'; must be true or false"),
        ({"confirmation.expires_after": 10}, "confirmation.expires_after: got 10; a length of time is a number"),
        ({"confirmation.expires_after": "soon"}, "confirmation.expires_after: got 'soon'; a length of time is"),
        ({"confirmation.expires_after": "0s"}, "confirmation.expires_after: got '0s'; must be longer than nothing"),
        ({"confirmation.confirmed_by": "all"}, "got 'all'; must be 'any_moderator', 'requester' or 'other_moderator'"),
        ({"protected_users": ["@admin"]}, "got '@admin'; would match nobody: with @ it needs"),
        ({"protected_users": ["*:test"]}, "protected_users[1]: got '*:test'; would match nobody: with a"),
        ({"shared_admin_room": {"other_bots": ["@b:test"]}}, "must name one bot a server, and none of this server"),
        ({"shared_admin_room": {"other_bots": ["@b:x", "@c:x"]}}, "must name one bot a server, and none of this"),
        ({"roles": ["info"]}, "roles: must hold keys of its own"),
        ({"roles": {"Help Desk": {"commands": ["info"]}}}, "roles: a role is named with small letters, digits, - and"),
        ({"roles": {"desk": {"users": ["@a:test"]}}}, "roles.desk.commands: is missing"),
        ({"roles": {"desk": {"commands": []}}}, "roles.desk.commands: must not be empty"),
        ({"roles": {"desk": {"commands": "info"}}}, "roles.desk.commands: got 'info'; must be a list, such as"),
        ({"roles": {"desk": {"commands": ["!info"]}}}, "roles.desk.commands[1]: got '!info'; must be a command's name"),
        ({"roles": {"desk": {"comands": ["info"]}}}, "roles.desk.comands: there is no such key; did you mean commands"),
        ({"roles": {"desk": {"commands": ["info"], "users": ["anna"]}}}, "roles.desk.users[1]: got 'anna'; a Matrix"),
        ({"command_prefix": ""}, "command_prefix: got ''; must be 1 to 16 characters"),
        ({"homeserver.url": "matrix.test"}, "homeserver.url: got 'matrix.test'; must be an address such as https://"),
        ({"homeserver.url": "https://matrix.test/_matrix"}, "no /_matrix behind it"),
        ({"homeserver.url": "https://matrix.test:99999"}, "homeserver.url: got 'https://matrix.test:99999'; must"),
        ({"homeserver.user_id": "lethe"}, "homeserver.user_id: got 'lethe'; a Matrix ID begins with @"),
        ({"homeserver.password": ...}, "homeserver: the bot can't log in: give password"),
        ({"homeserver.access_token": "syt_x"}, "homeserver: device_id is missing"),
        ({"homeserver.device_id": "DEV"}, "homeserver: device_id goes with an access token only"),
        ({"homeserver.password_file": "p"}, "homeserver: password and password_file are both given"),
        ({"audit.retention": "forever"}, "audit.retention: got 'forever'; a length of time is"),
        ({"log.level": "loud"}, "log.level: got 'loud'; must be 'debug', 'info', 'warning' or 'error'"),
        ({"language": "English, please"}, "language: got 'English, please'; must be a language's code"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_path_and_what_would_be_right(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    """Each kind of mistake names the key, what was typed and what is wanted."""
    assert said in problems(tmp_path, changes)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Nobody has to start the bot once for each mistake."""
    told = problems(
        tmp_path, {"log.level": "loud", "datadir": "/x", "confirmation.method": "shout"}, {"LETHE_ADMIN_ROM": "!x"}
    )
    assert len(told.splitlines()) == 4
    assert "LETHE_ADMIN_ROM (environment): there is no such setting; did you mean LETHE_ADMIN_ROOM?" in told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("homeserver:\n\turl: x\n", "line 2"),
        ("admin_room: !abc:test\n", "between quotes"),
        ("homeserver:\n  user_id: @lethe:test\n", "line 2, column 12"),
        (f"homeserver:\n  password: *{SECRET}\n", "line 2"),
        (f"homeserver:\n  password: !{SECRET}\n", "line 2"),
        (f"homeserver:\n  password: a: {SECRET}\n", "line 2"),
        ("command_prefix: '!'\ncommand_prefix: '?'\n", "line 2: the key command_prefix is given twice"),
        ("moderators:\n  users: []\n  users: []\n", "line 3: the key users is given twice"),
        ("- a\n- b\n", "must hold keys and values"),
        ("? [a]\n: b\n", "isn't valid YAML"),
    ],
)
def test_broken_yaml_is_told_with_its_line_and_without_its_content(tmp_path: Path, text: str, said: str) -> None:
    """A file that can't be read as YAML is refused by place, never by quoting what may be a password."""
    with pytest.raises(ConfigError) as raised:
        load(write(tmp_path, text), {})
    assert said in str(raised.value)
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_a_file_that_is_not_there_or_not_text_is_told(tmp_path: Path) -> None:
    """The file's path and the reason are said."""
    with pytest.raises(ConfigError, match=r"nothing\.yaml: can't be read: No such file"):
        load(tmp_path / "nothing.yaml", {})
    (tmp_path / "latin.yaml").write_bytes(b"language: \xe9\n")
    with pytest.raises(ConfigError, match="isn't UTF-8"):
        load(tmp_path / "latin.yaml", {})


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    """A variable replaces the file's value, makes sections the file lacks, and passes lists as YAML writes them."""
    settings = load(
        write(tmp_path, changed({"homeserver.password_file": "gone", "homeserver.password": ...})),
        {
            "LETHE_HOMESERVER__PASSWORD": "12345",
            "LETHE_MODERATORS__POWER_LEVEL": "75",
            "LETHE_SELF_SERVICE__ENABLED": "false",
            "LETHE_PROTECTED_USERS": '["@root:test", backup-*]',
            "PATH": "/bin",
        },
    )
    assert settings.homeserver.password is not None
    assert settings.homeserver.password.get_secret_value() == "12345"
    assert settings.moderators.power_level == 75
    assert settings.self_service.enabled is False
    assert settings.protected_users == ("@root:test", "backup-*")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LETHE_PROTECTED_USER", "[]", "did you mean LETHE_PROTECTED_USERS?"),
        ("LETHE_PROTECTED", "[]", "did you mean LETHE_PROTECTED_USERS?"),
        ("lethe_protectedusers", "[]", "did you mean LETHE_PROTECTED_USERS?"),
        ("LETHE_HOMESERVER_PASSWORD", SECRET, "did you mean LETHE_HOMESERVER__PASSWORD?"),
        ("LETHE_PASSWORD", SECRET, "did you mean LETHE_HOMESERVER__PASSWORD?"),
        ("LETHE_HOMESERVER__PASSWRD", SECRET, "did you mean LETHE_HOMESERVER__PASSWORD?"),
        ("LETHE_HOMSERVER__PASSWORD", SECRET, "did you mean LETHE_HOMESERVER__PASSWORD?"),
        ("LETHE_LOG_LEVEL", "debug", "did you mean LETHE_LOG__LEVEL?"),
        ("LETHE_LOG", "debug", "did you mean LETHE_LOG__LEVEL?"),
        ("LETHE_LOG__PORTHOLE", "x", "there is no such setting; did you mean LETHE_LOG__"),
        ("LETHE_SELF_SERVICE__ZZZZZ", "x", "did you mean LETHE_SELF_SERVICE__"),
        ("LETHE_LANGUAGE__ZZZZZ", "x", "did you mean LETHE_LANGUAGE?"),
        ("LETHE_DATADIR", "/x", "did you mean LETHE_DATA_DIR?"),
        ("LETHE_HOMESERVER__PASWORD", SECRET, "did you mean LETHE_HOMESERVER__PASSWORD?"),
        ("LETHE_PROTECTED_USERS", "@root:test", "must be a list"),
        ("LETHE_PROTECTED_USERS", "", "must be"),
        ("LETHE_PROTECTED_USERS", "root", "protected_users: got 'root'; must be a list"),
        ("LETHE_MODERATORS__POWER_LEVEL", "high", "moderators.power_level: got 'high'; must be a whole number"),
    ],
)
def test_a_mistake_in_the_environment_is_told(tmp_path: Path, name: str, value: str, said: str) -> None:
    """A misspelt variable is refused like a misspelt key, and its value isn't shown."""
    told = problems(tmp_path, {}, {name: value})
    assert said in told
    assert SECRET not in told


@pytest.mark.parametrize(
    "name",
    [
        "LETHE_PORT", "LETHE_SERVICE_HOST", "LETHE_SERVICE_PORT", "LETHE_SERVICE_PORT_HTTP", "LETHE_PORT_8010_TCP",
        "LETHE_PORT_8010_TCP_ADDR", "LETHE_PORT_8010_TCP_PORT", "LETHE_PORT_8010_TCP_PROTO", "LETHE_PORT_53_UDP_ADDR",
        "LETHE_ADMIN_ROOM_SERVICE_HOST", "LETHE_ADMIN_ROOM_PORT", "LETHE_LOG_PORT_80_TCP", "LETHE_METRICS_PORT",
        "LETHE_", "LETHE_FUZZ", "LETHE_VERSION", "LETHE_CONFIG", "LETHE_HOME", "LETHE_IMAGE", "LETHE__X", "LETHE_NAME",
    ],
)  # fmt: skip
def test_a_variable_that_resembles_no_setting_is_passed_over(tmp_path: Path, name: str) -> None:
    """Kubernetes tells every pod of the services around it; one called lethe must not stop the bot."""
    assert load(write(tmp_path, changed({})), {name: "tcp://10.0.0.1:8010"})


def test_secrets_come_from_files_beside_the_settings(tmp_path: Path) -> None:
    """A secret's file counts from the settings' directory, and its closing newline is no part of the secret."""
    (tmp_path / "token").write_text(f"{SECRET}\n")
    settings = load(
        write(
            tmp_path,
            changed({"homeserver.access_token_file": "token", "homeserver.device_id": "DEV", "data_dir": "data"}),
        ),
        {},
    )
    assert settings.homeserver.access_token is not None
    assert settings.homeserver.access_token.get_secret_value() == SECRET
    assert settings.homeserver.password is not None
    assert settings.data_dir == tmp_path / "data"


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "can't be read: No such file"), ("\n", "in its one line"), (f"{SECRET}\n{SECRET}", "in its one line")],
)
def test_a_secrets_file_that_can_not_be_used_is_told(tmp_path: Path, content: str | None, said: str) -> None:
    """A missing, empty or longer file is refused by its path, without what it holds."""
    if content is not None:
        (tmp_path / "secret").write_text(content)
    told = problems(tmp_path, {"homeserver.password_file": "secret", "homeserver.password": ...})
    assert told.startswith("homeserver.password_file: ") and said in told
    assert SECRET not in told


def test_no_text_made_from_settings_shows_a_secret(tmp_path: Path) -> None:
    """`repr`, `str`, a dump and JSON of the settings hide the password and the token."""
    settings = load(write(tmp_path, changed({"homeserver.access_token": SECRET, "homeserver.device_id": "DEV"})), {})
    shown = (repr(settings), str(settings.homeserver), str(settings.model_dump()), settings.model_dump_json())
    assert all(SECRET not in text for text in shown)
    assert settings.homeserver.password is not None
    assert settings.homeserver.password.get_secret_value() == SECRET


@pytest.mark.parametrize(
    "changes",
    [
        {"homeserver": SECRET},
        {"homeserver": [SECRET]},
        {"homeserver.password": [SECRET]},
        {"homeserver.pasword": SECRET},
        {"homeserver.access_token": {"value": SECRET}},
        {"homeserver.access_token": SECRET},
        {"homeserver.url": f"https://lethe:{SECRET}@matrix.test"},
        {"homeserver.url": f"lethe:{SECRET}@matrix.test"},
        {"password": SECRET},
        {"homeserver.password_file": SECRET},
        {"admin_room": ..., "log.level": "loud"},
    ],
)
def test_no_error_shows_a_secret(tmp_path: Path, changes: dict[str, Any]) -> None:
    """However a secret is misplaced, neither the message nor the traceback repeats it."""
    with pytest.raises(ConfigError) as raised:
        load(write(tmp_path, changed(changes)), {})
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_a_password_that_yaml_takes_for_a_number_is_not_shown(tmp_path: Path) -> None:
    """A number is told to need quotes, without being repeated."""
    told = problems(tmp_path, {"homeserver.password": 8675309})
    assert told == "homeserver.password: must be text, between quotes where YAML takes it for something else"


def test_settings_can_not_be_changed(tmp_path: Path) -> None:
    """What was checked at the start stays as it was."""
    settings = load(write(tmp_path, MINIMAL), {})
    with pytest.raises(ValueError, match="frozen"):
        settings.moderators.power_level = 0


def test_risky_settings_are_pointed_out(tmp_path: Path) -> None:
    """Settings that work but open a door each get a sentence."""
    (tmp_path / "token").write_text(SECRET)
    (tmp_path / "token").chmod(0o644)
    path = write(
        tmp_path,
        changed(
            {
                "homeserver.url": "http://matrix.test",
                "homeserver.password": ...,
                "homeserver.access_token_file": "token",
                "homeserver.device_id": "DEV",
                "moderators.users": ["@helper:elsewhere.test", "@lethe:test"],
                "self_service.grace_period": "0s",
            }
        ),
    )
    told = config.warnings(path, load(path, {}))
    beginnings = (
        f"{tmp_path / 'token'} holds a secret",
        "homeserver.url is http",
        "homeserver.password isn't given",
        "moderators.users names @helper:elsewhere.test",
        "moderators.users names the bot itself",
        "self_service.grace_period is 0s",
    )
    assert [text.startswith(beginning) for text, beginning in zip(told, beginnings, strict=True)] == [True] * 6


def test_an_open_file_with_a_secret_is_pointed_out(tmp_path: Path) -> None:
    """A settings file that others can read is a matter only where the secret stands in it."""
    path = write(tmp_path, MINIMAL)
    path.chmod(0o640)
    assert "can be read by others" in config.warnings(path, load(path, {}))[0]
    secretless = write(tmp_path, changed({"homeserver.password": ...}))
    secretless.chmod(0o640)
    settings = load(secretless, {"LETHE_HOMESERVER__PASSWORD": SECRET})
    assert config.warnings(secretless, settings) == []


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(sorted(config.keys()))
)
NAMES = st.sampled_from(["homeserver", "moderators", "users", "url", "password", "data_dir", "audit", "x"]) | SCALARS


@given(
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
        max_leaves=12,
    )
)
def test_whatever_the_file_holds_the_answer_is_settings_or_an_explanation(data: object) -> None:
    """Settings of any shape are accepted or refused with `ConfigError`, never with another exception."""
    try:
        settings = config.validate(data, {})
    except ConfigError as error:
        assert error.problems and all(error.problems)
    else:
        assert isinstance(settings, Settings)
