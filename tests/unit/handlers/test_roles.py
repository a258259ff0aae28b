"""Roles: who is named in one may use its commands and no others; nothing else follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import config
from cli.settings import load_settings
from handlers.authority import Policy
from handlers.roles import Roles, check_commands
from tests.unit.handlers.test_authority import LISTED, LOCAL, REMOTE, room, state

HELPER = "@helper:here"
JOINED = state("m.room.member", HELPER, HELPER, membership="join")


def roles(**of: frozenset[str]) -> Roles:
    """Roles of people of this server, by localpart."""
    return Roles({f"@{name}:here": commands for name, commands in of.items()})


def test_a_role_gives_its_commands_and_takes_all_others() -> None:
    """Without any power a helper may what the role says; with all of it, a moderator who is named in one no more."""
    limited = room(JOINED, roles=roles(helper=frozenset({"info"}), moderator=frozenset({"suspend"})))
    assert limited.may(HELPER, "info") and limited.may(HELPER, "help")
    assert not limited.may(HELPER, "deactivate") and not limited.may(HELPER, "suspend")
    assert limited.may(LOCAL, "suspend") and not limited.may(LOCAL, "deactivate")
    assert limited.may(LOCAL, "deactivate", "suspend")  # one of several is enough
    assert limited.may(LISTED, "deactivate")  # whom no role names


def test_a_role_makes_nobody_a_moderator_who_is_not_in_the_room_or_of_another_server() -> None:
    """Named, but not joined; named, but another server's; and the bot itself."""
    away = room(roles=roles(helper=frozenset({"info"}), lethe=frozenset({"info"})))
    assert not away.may(HELPER, "info") and not away.may("@lethe:here", "info")
    assert not room(roles=Roles({REMOTE: frozenset({"info"})})).may(REMOTE, "info")
    assert HELPER in away.could_moderate()  # never a target either


def test_who_is_counted_as_another_moderator_may_use_the_command() -> None:
    """Somebody who may only look is no second pair of eyes."""
    stage = room(JOINED, roles=roles(helper=frozenset({"info"})))
    assert HELPER in stage.moderators() and HELPER not in stage.moderators("close")
    assert not stage.unlimited(HELPER) and stage.unlimited(LOCAL)


def settings(path: Path, **changes: Any) -> config.Settings:
    """Settings with roles, from a file."""
    file = path / "config.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "homeserver": {"url": "https://m.test", "user_id": "@lethe:here", "password": "x"},
                "admin_room": "!a:here",
                "data_dir": "data",
                **changes,
            }
        )
    )
    return load_settings(file)


def test_several_roles_add_up(tmp_path: Path) -> None:
    """Named in two roles, somebody may use the commands of both."""
    found = settings(
        tmp_path,
        roles={
            "a": {"commands": ["info"], "users": [HELPER]},
            "b": {"commands": ["suspend"], "users": [HELPER, LOCAL]},
        },
    )
    assert Policy.of(found).roles == roles(helper=frozenset({"info", "suspend"}), moderator=frozenset({"suspend"}))
    assert config.warnings(tmp_path / "config.yaml", found)[1:] == []  # beside the file's mode


def test_an_unknown_command_is_refused_with_the_one_that_was_meant(tmp_path: Path) -> None:
    """A role that names a command that there isn't never starts: a typing error would take a right away, or seem to."""
    with pytest.raises(config.ConfigError, match=r"roles.desk.commands\[2\]: got 'suspnd'; .* did you mean suspend\?"):
        settings(tmp_path, roles={"desk": {"commands": ["info", "suspnd"], "users": [HELPER]}})
    with pytest.raises(config.ConfigError, match="there are help, info"):
        check_commands(
            config.validate(
                {
                    "homeserver": {"url": "https://m.test", "user_id": "@lethe:here", "password": "x"},
                    "admin_room": "!a:here",
                    "data_dir": "data",
                    "roles": {"desk": {"commands": ["zzz"]}},
                },
                {},
            ),
            ["info", "help"],
        )


def test_roles_by_the_environment(tmp_path: Path) -> None:
    """They are written as in the file, and one that is given twice is refused."""
    found = config.validate(
        {"homeserver": {"url": "https://m.test", "user_id": "@lethe:here", "password": "x"}, "admin_room": "!a:here",
         "data_dir": "data"},
        {"LETHE_ROLES": '{desk: {commands: [info], users: ["@helper:here"]}}'},
    )  # fmt: skip
    assert found.roles["desk"].users == (HELPER,)
    with pytest.raises(config.ConfigError, match="LETHE_ROLES"):
        config.validate({}, {"LETHE_ROLES": "{a: {commands: [info]}, a: {commands: [ping]}}"})


def test_a_role_without_people_and_one_with_strangers_are_pointed_out(tmp_path: Path) -> None:
    """Valid, but hardly meant."""
    found = settings(
        tmp_path,
        roles={"a": {"commands": ["info"]}, "b": {"commands": ["info"], "users": ["@x:elsewhere", "@lethe:here"]}},
    )
    said = "\n".join(config.warnings(tmp_path / "config.yaml", found))
    assert "roles.a has no users" in said and "roles.b.users names @x:elsewhere" in said
    assert "roles.b.users names the bot itself" in said
