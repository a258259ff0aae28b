"""The settings: read from a YAML file, environment variables and secret files, and checked.

`load` is the way in. Whoever writes the file is told everything that is wrong with it at once, each problem with the
key's path, what was typed, and what would be right. A secret's value is never repeated, in no error and no `repr`.
`config.example.yaml` shows every key with its default; a test holds it to this module.

The environment: `LETHE_HOMESERVER__PASSWORD` is `homeserver.password`; lists are written as in YAML. A variable that
resembles a setting is refused like an unknown key: a misspelt `LETHE_PROTECTED_USERS` must not go unnoticed. Any other
is passed over: Kubernetes puts `LETHE_PORT` and its like into every pod beside a service called lethe. That is also why
this module lays the environment over the file itself: pydantic-settings passes over both.
"""

from __future__ import annotations

import copy
import difflib
import os
import re
import stat
from collections.abc import Hashable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from removal.addresses import email_address
from removal.ids import UserID
from removal.times import parse_duration

ENVIRONMENT_PREFIX = "LETHE_"
SECRETS = (
    "homeserver.password",
    "homeserver.access_token",
    "homeserver.mas.client_secret",
    "receipt.smtp.password",
)
"""Keys whose values are never shown. Each may instead be given as `<key>_file`."""


_INIT = "`bot.py init`"
LOCAL = ("localhost", "127.0.0.1", "::1")
"""This machine: nobody sits on the way."""
SHORTEST_KEPT = timedelta(days=30)


class ConfigError(Exception):
    """The settings can't be used. `str()` of it lists every problem, one a line."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


# --- what values look like -------------------------------------------------------------------------------------------


def _url(value: str) -> str:
    wanted = "an address such as https://matrix.example.org"
    try:
        parts = urlsplit(value)
        _ = parts.port  # urlsplit checks a port only when it is asked for
    except ValueError:
        raise ValueError(f"must be {wanted}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", value):
        raise ValueError(f"must be {wanted}")
    if "@" in parts.netloc or parts.query or parts.fragment or parts.path.startswith(("/_matrix", "/_synapse")):
        raise ValueError(f"must be {wanted} and nothing else: no user name, no ?, no #, no /_matrix behind it")
    return value.rstrip("/")


def _email(value: str) -> str:
    if email_address(value) is None:
        raise ValueError("must be an e-mail address such as lethe@example.org")
    return value


def _user_id(value: str) -> str:
    UserID.parse(value)
    return value


def _room(value: str) -> str:
    # A room id since room version 12 has no server name (specification, appendices, "Room IDs"): it is opaque.
    if re.fullmatch(r"![^\s]{1,254}|#[^\s:]+:[^\s]+", value) is None:
        raise ValueError('must be a room\'s id such as "!abc:example.org" or its address such as "#admins:example.org"')
    return value


def _glob(value: str) -> str:
    # `removal.ids.matches_any` holds a glob with @ against the whole Matrix ID, any other against the localpart.
    # A glob that can match nothing protects nobody, so it is refused.
    if not value or re.search(r"\s", value):
        raise ValueError('must be a Matrix ID or its first part, * and ? allowed, such as "@*-admin:example.org"')
    if value.startswith("@") and ":" not in value and not value.endswith("*"):
        raise ValueError(
            f'would match nobody: with @ it needs the server too ("{value}:example.org"), or leave out the @'
        )
    if not value.startswith("@") and ":" in value:
        raise ValueError(f'would match nobody: with a server name it must begin with @ ("@{value}")')
    return value


def _prefix(value: str) -> str:
    if not 1 <= len(value) <= 16 or re.search(r"[\s<>&\"'@#]", value):
        raise ValueError('must be 1 to 16 characters without spaces, quotes, <, >, &, @ or #, such as "!"')
    return value


def _duration(value: object) -> object:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, timedelta):
        return value
    raise ValueError("a length of time is a number and a unit, such as 30s, 10m, 12h, 7d or 1h30m")


def _retention(value: object) -> object:
    if value is None:
        raise ValueError('must be a length of time such as 365d, or "unlimited"')
    return None if value == "unlimited" else _duration(value)


def _not_too_short(value: timedelta | None) -> timedelta | None:
    if value is not None and value < SHORTEST_KEPT:
        raise ValueError(f"must be {SHORTEST_KEPT.days}d or more: so long people come back to what was done")
    return value


def _not_a_switch(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a whole number")  # YAML reads `yes` as true, and Python takes true for 1
    return value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _address(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or not host or re.search(r"[\s/@]", host) or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ValueError('must be an address of this machine and a port, such as "127.0.0.1:9010"')
    return value


def _host_and_port(address: str | None) -> tuple[str, int] | None:
    if address is None:
        return None
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _role_names(value: dict[str, Any]) -> dict[str, Any]:
    for name in value:
        if re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", name) is None:
            raise ValueError(
                f'a role is named with small letters, digits, - and _, such as "helpdesk"; got {name!r:.80}'
            )
    return value


def _command_name(value: str) -> str:
    # Whether there is such a command, handlers.roles knows.
    if re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", value) is None:
        raise ValueError('must be a command\'s name without its prefix, such as "suspend"')
    return value


UserId = Annotated[str, AfterValidator(_user_id)]
Glob = Annotated[str, AfterValidator(_glob)]
Duration = Annotated[timedelta, BeforeValidator(_duration), Field(ge=timedelta(0))]
Number = Annotated[int, BeforeValidator(_not_a_switch)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=False)


# --- the settings ----------------------------------------------------------------------------------------------------


class Mas(_Section):
    """The Matrix Authentication Service that keeps the accounts, where there is one: its admin API and a way in."""

    url: Annotated[str, AfterValidator(_url)] | None = Field(default=None, examples=["https://account.example.org"])
    client_id: Annotated[str, Field(min_length=1, pattern=r"^[^:\s]+$")] | None = None
    client_secret: SecretStr | None = Field(default=None, min_length=1)
    client_secret_file: Path | None = None
    token_file: Path | None = None

    @property
    def given(self) -> bool:
        """Whether the settings say anything of it."""
        return any(getattr(self, name) is not None for name in type(self).model_fields)

    @model_validator(mode="after")
    def _one_way_in(self) -> Mas:
        if self.client_secret is not None and self.client_secret_file is not None:
            raise ValueError("client_secret and client_secret_file are both given: keep one of them")
        secret = self.client_secret is not None or self.client_secret_file is not None
        if self.token_file is not None and (secret or self.client_id is not None):
            raise ValueError("token_file goes without client_id and client_secret: keep one way in")
        if secret and self.client_id is None:
            raise ValueError("client_id is missing: a client's secret goes with its id")
        if self.client_id is not None and not secret:
            raise ValueError("client_secret or client_secret_file is missing: a client_id goes with its secret")
        if self.url is not None and self.client_id is None and self.token_file is None:
            raise ValueError("the bot can't log in there: give client_id and client_secret, or token_file")
        return self


class Homeserver(_Section):
    """Where the homeserver is and how the bot logs in there. After `load`, secrets from files stand in their fields."""

    url: Annotated[str, AfterValidator(_url)] = Field(examples=["https://matrix.example.org"])
    user_id: UserId = Field(examples=["@lethe:example.org"])
    password: SecretStr | None = Field(None, min_length=1)
    password_file: Path | None = None
    access_token: SecretStr | None = Field(None, min_length=1)
    access_token_file: Path | None = None
    device_id: Annotated[str, Field(min_length=1)] | None = None
    mas: Mas = Mas()

    @property
    def server_name(self) -> str:
        """The part of the bot's Matrix ID after the colon: the server whose accounts it removes."""
        return UserID.parse(self.user_id).server_name

    @model_validator(mode="after")
    def _one_way_in(self) -> Homeserver:
        token = self.access_token is not None or self.access_token_file is not None
        if self.password is not None and self.password_file is not None:
            raise ValueError("password and password_file are both given: keep one of them")
        if self.access_token is not None and self.access_token_file is not None:
            raise ValueError("access_token and access_token_file are both given: keep one of them")
        if not token and self.password is None and self.password_file is None:
            raise ValueError("the bot can't log in: give password, password_file, access_token or access_token_file")
        if token and self.device_id is None:
            raise ValueError("device_id is missing: an access token belongs to a device, and encryption needs its id")
        if self.device_id is not None and not token:
            raise ValueError("device_id goes with an access token only: with a password the bot makes its own device")
        return self


class Confirmation(_Section):
    """How a moderator's request is confirmed."""

    expires_after: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(minutes=10)
    confirmed_by: Literal["any_moderator", "requester", "other_moderator"] = "any_moderator"
    method: Literal["reaction", "reply"] = "reaction"
    second_factor: Literal["none", "totp"] = "none"
    second_factor_key_file: Path | None = None

    def in_writing(self, *, encrypted: bool) -> bool:
        """Whether answers are written, in a room that is or isn't encrypted: reactions never are."""
        return self.method == "reply" and encrypted


class Moderators(_Section):
    """Who may command the bot in the admin room."""

    power_level: Annotated[Number, Field(ge=1)] = 50
    users: tuple[UserId, ...] = ()
    max_removals_per_hour: Annotated[Number, Field(ge=0)] = 20
    max_changes_per_hour: Annotated[Number, Field(ge=0)] = 60
    allow_remote: bool = False


class Role(_Section):
    """What the people of one role may ask in the admin room, and who they are."""

    commands: Annotated[tuple[Annotated[str, AfterValidator(_command_name)], ...], Field(min_length=1)] = Field(
        examples=["suspend"]
    )
    users: tuple[UserId, ...] = ()


class SharedAdminRoom(_Section):
    """Other servers' bots in the same admin room: each answers for its own server's accounts."""

    other_bots: tuple[UserId, ...] = ()
    answers_for_others: bool = False


class Web(_Section):
    """The page on which people log in and ask for the removal of their own account; without `listen` there is none."""

    listen: Annotated[str, AfterValidator(_address)] | None = None
    public_url: Annotated[str, AfterValidator(_url)] | None = None
    client_id: Annotated[str, Field(min_length=1)] | None = None

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port."""
        return _host_and_port(self.listen)

    @model_validator(mode="after")
    def _both_or_neither(self) -> Web:
        if self.listen is not None and self.public_url is None:
            raise ValueError('public_url is missing: the address that people open, such as "https://leave.example.org"')
        if self.public_url is not None and self.listen is None:
            raise ValueError('listen is missing: where your reverse proxy finds the page, such as "127.0.0.1:8010"')
        url = urlsplit(self.public_url or "https:")
        if url.scheme != "https" and url.hostname not in LOCAL:
            raise ValueError(
                "public_url must be https: whoever sits on the way could read the passwords that people type there, "
                "and browsers keep the page's cookie by https only"
            )
        return self


class Smtp(_Section):
    """The mail server that takes receipts for people who give an address; without `host` there are none by e-mail."""

    host: Annotated[str, Field(min_length=1, pattern=r"^[^\s/@]+$")] | None = None
    port: Annotated[Number, Field(ge=1, le=65535)] = 587
    tls: Literal["starttls", "tls", "none"] = "starttls"
    user: Annotated[str, Field(min_length=1)] | None = None
    password: SecretStr | None = Field(default=None, min_length=1)
    password_file: Path | None = None
    from_address: Annotated[str, AfterValidator(_email)] | None = None

    @property
    def given(self) -> bool:
        """Whether receipts go out by e-mail."""
        return self.host is not None

    @model_validator(mode="after")
    def _whole(self) -> Smtp:
        secret = self.password is not None or self.password_file is not None
        if self.password is not None and self.password_file is not None:
            raise ValueError("password and password_file are both given: keep one of them")
        if self.host is not None and self.from_address is None:
            raise ValueError("from_address is missing: whom the receipts are from, such as lethe@example.org")
        if self.host is None and (self.user is not None or secret or self.from_address is not None):
            raise ValueError("host is missing: the mail server, such as mail.example.org")
        if (self.user is not None) is not secret:
            raise ValueError("user goes with password or password_file: give both, or neither")
        if self.tls == "none" and secret and self.host not in LOCAL:
            raise ValueError("tls is none: the password would go in clear text; it must be starttls or tls")
        return self


class Receipt(_Section):
    """What a person gets of their removal who can't read messages any more."""

    smtp: Smtp = Smtp()


class SelfService(_Section):
    """People who ask for the removal of their own account."""

    enabled: bool = True
    grace_period: Duration = timedelta(days=7)
    approval: Literal["none", "moderator"] = "none"
    confirm_by_matrix_id: bool = True
    allowed_users: tuple[Glob, ...] = ("*",)
    requests_per_day: Annotated[Number, Field(ge=1)] = 3
    remove_sso_links: bool = True
    wait_for_reminder: bool = True
    proof: Literal["chat", "login", "either"] = "chat"
    web: Web = Web()

    @model_validator(mode="after")
    def _log_in_needs_the_page(self) -> SelfService:
        if self.proof != "chat" and self.web.listen is None:
            raise ValueError(f"proof is {self.proof}, but nobody can log in without the page: give web.listen too")
        return self


class Reports(_Section):
    """What people report to this server, shown in the admin room."""

    enabled: bool = False
    poll_every: Annotated[Duration, Field(ge=timedelta(seconds=1))] = timedelta(minutes=1)


class Removal(_Section):
    """What belongs to every removal."""

    clear_lock_and_shadow_ban: bool = False


class Bulk(_Section):
    """Waves: many accounts that are decided on at once."""

    max_accounts: Annotated[Number, Field(ge=2, le=20_000)] = 20_000
    other_moderator_above: Annotated[Number, Field(ge=0)] = 10
    type_number_above: Annotated[Number, Field(ge=0)] = 100
    moderator_for: Duration = timedelta(hours=1)
    old_account: Duration = timedelta(days=30)
    side_by_side: Annotated[Number, Field(ge=1, le=16)] = 4


Retention = Annotated[timedelta | None, BeforeValidator(_retention), AfterValidator(_not_too_short)]
"""How long ended things are kept; None is for ever."""


class Requests(_Section):
    """How long ended requests are kept."""

    delete_after: Retention = None


class Audit(_Section):
    """How long the personal values in the audit are kept, and how long its entries; None is for ever."""

    retention: Annotated[timedelta | None, BeforeValidator(_retention)] = None
    delete_after: Retention = None


class Log(_Section):
    """What the bot writes to standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = "info"
    format: Literal["text", "json"] = "text"


class Monitoring(_Section):
    """Where monitoring may ask how the bot is; None is nowhere."""

    listen: Annotated[str, AfterValidator(_address)] | None = None

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port."""
        return _host_and_port(self.listen)


class Settings(_Section):
    """All settings. Frozen; secrets show as stars."""

    homeserver: Homeserver
    admin_room: Annotated[str, AfterValidator(_room)] = Field(examples=["#admins:example.org"])
    data_dir: Path = Field(examples=["/var/lib/lethe"])
    command_prefix: Annotated[str, AfterValidator(_prefix)] = "!"
    protected_users: tuple[Glob, ...] = ()
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z]{2,8})?$")] = "en"
    require_cross_signed_moderators: bool = False
    shared_admin_room: SharedAdminRoom = SharedAdminRoom()
    moderators: Moderators = Moderators()
    roles: Annotated[dict[str, Role], AfterValidator(_role_names)] = Field(default_factory=dict)
    confirmation: Confirmation = Confirmation()
    self_service: SelfService = SelfService()
    reports: Reports = Reports()
    policy_rooms: tuple[Annotated[str, AfterValidator(_room)], ...] = ()
    receipt: Receipt = Receipt()
    removal: Removal = Removal()
    bulk: Bulk = Bulk()
    requests: Requests = Requests()
    audit: Audit = Audit()
    log: Log = Log()
    monitoring: Monitoring = Monitoring()

    @model_validator(mode="after")
    def _other_bots_are_of_other_servers(self) -> Settings:
        servers = [UserID.parse(bot).server_name for bot in self.shared_admin_room.other_bots]
        if self.homeserver.server_name in servers or len(set(servers)) < len(servers):
            raise ValueError("shared_admin_room.other_bots must name one bot a server, and none of this server")
        return self

    @model_validator(mode="after")
    def _entries_outlive_requests(self) -> Settings:
        entries, requests = self.audit.delete_after, self.requests.delete_after
        if entries is not None and (requests is None or requests > entries):
            raise ValueError(
                "requests.delete_after must be as long as audit.delete_after or shorter: a request that is kept needs "
                "its entries in the audit"
            )
        return self


def keys(section: type[BaseModel] = Settings) -> Iterator[str]:
    """The paths of all settings, `moderators.power_level` and so on, in the order of their declaration."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from (f"{name}.{inner}" for inner in keys(field.annotation))
        else:
            yield name


# --- reading ---------------------------------------------------------------------------------------------------------


def load(path: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """Reads and checks the settings.

    Args:
        path: the YAML file. Paths in the settings that aren't absolute count from its directory.
        environ: the environment variables; the process's own where none are given.

    Raises:
        ConfigError: the file can't be read, or something in it or in the environment is wrong.
    """
    settings = validate(_read_yaml(path), os.environ if environ is None else environ)
    return _with_secrets(settings, path.absolute().parent)


def validate(data: object, environ: Mapping[str, str]) -> Settings:
    """Checks what a file held (`None` where it was empty) and what the environment lays over it. Opens no file.

    Raises:
        ConfigError: something is wrong.
    """
    if not isinstance(data, dict | None):
        raise ConfigError(['the settings must hold keys and values, such as  command_prefix: "!"'])
    data = copy.deepcopy(data or {})
    problems = _lay_over(data, environ)
    try:
        settings = Settings.model_validate(data)
    except ValidationError as error:
        problems += [_explain(detail) for detail in error.errors(include_url=False)]
    if problems:
        raise ConfigError(problems)
    return settings


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, but a key written twice is an error: silently, the first would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _Twice(key.value, key.start_mark.line + 1)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Twice(Exception):
    def __init__(self, key: str, line: int) -> None:
        super().__init__(key)
        self.key, self.line = key, line


def _read_yaml(path: Path) -> object:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a subclass of the safe loader
    except FileNotFoundError as error:
        raise ConfigError([f"{path}: can't be read: {error.strerror}. {_INIT} writes it"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: can't be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: isn't UTF-8 text"]) from None
    except _Twice as twice:
        raise ConfigError(
            [f"{path}, line {twice.line}: the key {twice.key} is given twice: keep one of them"]
        ) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        # PyYAML's own words quote the file, and with it perhaps a password: only the place is repeated.
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(
            [
                f"{path}{place}: this isn't valid YAML. Indent with spaces, and put values that begin with one of "
                '! @ # & * % ` or hold ": " between quotes, such as  admin_room: "!abc:example.org"'
            ]
        ) from None


def _lay_over(data: dict[str, Any], environ: Mapping[str, str]) -> list[str]:
    """Lays the environment over what the file holds. Returns what is wrong with the environment."""
    problems = []
    known = set(keys())
    for name in sorted(environ):
        if not name.upper().startswith(ENVIRONMENT_PREFIX):
            continue
        key = name[len(ENVIRONMENT_PREFIX) :].lower().replace("__", ".")
        if key not in known:
            meant = _meant(key)
            if meant is not None:
                problems.append(f"{name} (environment): there is no such setting; did you mean {_variable(meant)}?")
            continue
        value: Any = environ[name]
        *sections, last = key.split(".")
        model: type[BaseModel] = Settings
        place: Any = data
        for section in sections:
            annotation = model.model_fields[section].annotation
            assert isinstance(annotation, type)  # noqa: S101 - `keys` only descends into models
            model = annotation
            if place.get(section) is None:
                place[section] = {}
            place = place[section]
        if (kind := get_origin(model.model_fields[last].annotation)) in (tuple, dict):
            try:
                value = yaml.load(value, _Loader)  # noqa: S506 - a subclass of the safe loader
            except (yaml.YAMLError, _Twice):
                like = 'a list such as ["@a:example.org"]' if kind is tuple else "a mapping as in config.example.yaml"
                problems.append(f"{name} (environment): must be {like}")
                continue
        if isinstance(place, dict):  # else the file holds no section there, which is told as its own problem
            # One way to give a secret replaces the other, else the environment could not override the file.
            for secret in SECRETS:
                other = {secret: f"{secret}_file", f"{secret}_file": secret}.get(key)
                if other and _variable(other) not in environ:
                    place.pop(other.rpartition(".")[2], None)
            place[last] = value
    return problems


# What Kubernetes tells every pod of a service whose name begins with "lethe".
_OF_A_SERVICE = re.compile(r"(.+_)?(service_host|service_port(_.+)?|port(_\d+_(tcp|udp|sctp)(_(addr|port|proto))?)?)")


def _meant(key: str) -> str | None:
    """The setting that a variable's name was probably meant for; None where it resembles none."""
    if _OF_A_SERVICE.fullmatch(key):
        return None
    section = key.rpartition(".")[0]
    for known in difflib.get_close_matches(section, Settings.model_fields, n=1, cutoff=0.8):
        nearest = _nearest(key)
        return nearest if nearest in set(keys()) else next(each for each in keys() if each.startswith(known))
    flat = key.replace(".", "_")
    whole = {setting.replace(".", "_"): setting for setting in keys()}
    alone = {setting.rpartition(".")[2]: setting for setting in reversed([*keys()])}
    for names, cutoff in ((whole, 0.75), (alone, 0.85)):
        close = difflib.get_close_matches(flat, names, n=1, cutoff=cutoff)
        begun = [name for name in names if name.startswith(f"{flat}_")]  # LETHE_PROTECTED, LETHE_LOG
        if close or begun:
            return names[(close or begun)[0]]
    return None


def _variable(key: str) -> str:
    return ENVIRONMENT_PREFIX + key.replace(".", "__").upper()


def _with_secrets(settings: Settings, base: Path) -> Settings:
    """Reads the secrets that stand in files of their own, and makes every path absolute."""
    problems: list[str] = []
    home = settings.homeserver
    mas = home.mas
    if mas.token_file is not None:
        mas = mas.model_copy(update={"token_file": base / mas.token_file.expanduser()})
    mas = mas.model_copy(update=_read_secrets(mas, "homeserver.mas", base, problems))
    home = home.model_copy(update={"mas": mas, **_read_secrets(home, "homeserver", base, problems)})
    smtp = settings.receipt.smtp
    smtp = smtp.model_copy(update=_read_secrets(smtp, "receipt.smtp", base, problems))
    receipt = settings.receipt.model_copy(update={"smtp": smtp})
    if problems:
        raise ConfigError(problems)
    confirmation, key_file = settings.confirmation, settings.confirmation.second_factor_key_file
    if key_file is not None:
        confirmation = confirmation.model_copy(update={"second_factor_key_file": base / key_file.expanduser()})
    return settings.model_copy(
        update={
            "homeserver": home,
            "receipt": receipt,
            "confirmation": confirmation,
            "data_dir": base / settings.data_dir.expanduser(),
        }
    )


def _read_secrets(section: BaseModel, path: str, base: Path, problems: list[str]) -> dict[str, Any]:
    """The secrets of one section that stand in files, and where these are."""
    found: dict[str, Any] = {}
    for name in [secret.rpartition(".")[2] for secret in SECRETS if secret.rpartition(".")[0] == path]:
        file: Path | None = getattr(section, f"{name}_file")
        if file is None:
            continue
        place = base / file.expanduser()
        found[f"{name}_file"] = place
        try:
            text = place.read_text(encoding="utf-8").strip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it isn't UTF-8 text"
            problems.append(f"{path}.{name}_file: {place} can't be read: {why}")
            continue
        if not text.strip() or "\n" in text:
            problems.append(f"{path}.{name}_file: {place} must hold the secret in its one line")
        found[name] = SecretStr(text)
    return found


# --- telling what is wrong -------------------------------------------------------------------------------------------


def _explain(detail: ErrorDetails) -> str:
    """One of pydantic's errors, in words for whoever wrote the file."""
    path = ""
    for part in detail["loc"]:
        path += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if path else str(part)
    path = path or "the file"
    context = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            made = f". {_INIT} makes the room, and writes it here" if path == "admin_room" else ""
            return f"{path}: is missing; {_example(path)}{made}"
        case "extra_forbidden":
            nearest = _nearest(path)
            return f"{path}: there is no such key" + (f"; did you mean {nearest}?" if nearest else "")
        case "value_error":
            right = str(context["error"])
        case "literal_error":
            right = f"must be {context['expected']}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"{path}: must hold keys of its own, indented below it"
        case "tuple_type" if path.endswith(".commands"):
            right = 'must be a list, such as ["info", "suspend"]'
        case "tuple_type":
            right = 'must be a list, such as ["@one:example.org", "@two:example.org"], or []'
        case "bool_type" | "bool_parsing":
            right = "must be true or false"
        case "int_type" | "int_parsing" | "int_from_float" | "int_parsing_size":
            right = "must be a whole number"
        case "greater_than_equal" | "greater_than":
            least = context.get("ge", context.get("gt"))
            right = f"must be at least {least}" if isinstance(least, int) else "must be longer than nothing"
        case "string_pattern_mismatch":
            right = "must be a language's code such as en"
        case "string_too_short" | "too_short":
            right = "must not be empty"
        case _:
            right = "must be text, between quotes where YAML takes it for something else"
            if detail["input"] is None:
                right = f"is empty; {_example(path)} (a value that begins with # needs quotes)"
    return f"{path}: {_typed(path, detail['input'])}{right}"


def _typed(path: str, value: object) -> str:
    """What was typed, where it can't be a secret and is short enough to help."""
    shown = ("homeserver.url", "homeserver.user_id", "homeserver.device_id", "homeserver.mas.url")
    if path == "homeserver" or (path.startswith("homeserver.") and path not in shown):
        return ""
    if not isinstance(value, str | int | float) or (path.endswith(".url") and "@" in str(value)):
        return ""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return f"got {text[:80]}{'…' if len(text) > 80 else ''}; "


def _example(path: str) -> str:
    model: type[BaseModel] = Settings
    for part in path.split("."):
        field = model.model_fields.get(part)
        if field is None:
            break
        if field.examples:
            return f'such as "{field.examples[0]}"'
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            model = field.annotation
    return "see config.example.yaml"


def _nearest(path: str) -> str | None:
    """The known key that was probably meant: one of the same section, else one of the same name elsewhere."""
    section, _, name = path.rpartition(".")
    if section.startswith("roles."):
        return next(iter(difflib.get_close_matches(name, Role.model_fields, n=1, cutoff=0.6)), None)
    known = [*keys(), *(name for name, field in Settings.model_fields.items() if name not in set(keys()))]
    siblings = {key.rpartition(".")[2]: key for key in known if key.rpartition(".")[0] == section}
    # Several sections have a password: the one whose whole path is nearest.
    by_distance = sorted(known, key=lambda key: difflib.SequenceMatcher(None, path, key).ratio())
    anywhere = {key.rpartition(".")[2]: key for key in by_distance}
    for candidates in (siblings, anywhere):
        close = difflib.get_close_matches(name, candidates, n=1, cutoff=0.7)
        if close:
            return candidates[close[0]]
    return next(iter(difflib.get_close_matches(path, known, n=1, cutoff=0.6)), None)


# --- valid settings worth a warning ----------------------------------------------------------------------------------


def warnings(path: Path, settings: Settings) -> list[str]:
    """What `check` and the start of the bot should point out about settings that are valid, one sentence each."""
    found = []
    written = _read_yaml(path)
    if _open_to_others(path) and any(_written(written, secret) for secret in SECRETS):
        found.append(f"{path} holds a secret and can be read by others on this machine: chmod 600 {path}")
    home = settings.homeserver
    smtp, key_file = settings.receipt.smtp, settings.confirmation.second_factor_key_file
    secret_files = (home.password_file, home.access_token_file, home.mas.client_secret_file, home.mas.token_file)
    for file in (*secret_files, smtp.password_file, key_file):
        if file is not None and _open_to_others(file):
            found.append(f"{file} holds a secret and can be read by others on this machine: chmod 600 {file}")
    url = urlsplit(settings.homeserver.url)
    if url.scheme == "http" and url.hostname not in LOCAL:
        found.append(
            "homeserver.url is http: whoever sits on the way to the homeserver can read the bot's access token"
        )
    if settings.homeserver.password is None and not settings.homeserver.mas.given:
        found.append(
            "homeserver.password isn't given: with only an access token the bot may not be able to sign its device"
        )
    if settings.moderators.allow_remote and settings.confirmation.second_factor == "totp":
        found.append("confirmation.second_factor is totp: moderators of other servers can't set one up, nor confirm")
    if settings.moderators.allow_remote:
        found.append("moderators.allow_remote is true: whoever runs another moderator's server can speak in their name")
    else:
        for user_id in settings.moderators.users:
            if UserID.parse(user_id).server_name != settings.homeserver.server_name:
                found.append(f"moderators.users names {user_id} of another server, who counts only with allow_remote")
    for name, role in settings.roles.items():
        if not role.users:
            found.append(f"roles.{name} has no users: it changes nothing until it names somebody")
        for user_id in role.users:
            remote = UserID.parse(user_id).server_name != settings.homeserver.server_name
            if remote and not settings.moderators.allow_remote:
                found.append(f"roles.{name}.users names {user_id} of another server, who counts only with allow_remote")
            if user_id == settings.homeserver.user_id:
                found.append(f"roles.{name}.users names the bot itself: take it off")
    if settings.homeserver.user_id in settings.moderators.users:
        found.append("moderators.users names the bot itself: take it off")
    if settings.self_service.enabled and not settings.self_service.grace_period:
        found.append("self_service.grace_period is 0s: what somebody does with a stolen session is then final at once")
    if smtp.given and smtp.tls == "none" and smtp.host not in LOCAL:
        found.append("receipt.smtp.tls is none: whoever sits on the way to the mail server reads people's addresses")
    return found


def _written(data: object, key: str) -> object:
    """What a file says of a key such as `homeserver.password`."""
    for part in key.split("."):
        data = data.get(part) if isinstance(data, dict) else None
    return data


def _open_to_others(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
    except OSError:
        return False
