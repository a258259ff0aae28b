"""Whom the real bot never removes, whom it doesn't obey, and that nothing at all is changed then."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio
import yaml

from sandbox.client import Person
from sandbox.homeserver import Homeserver
from sandbox.scene import Scene
from tests.support.admin_room import OPENED, answer, audited, prompt, silence, untouched

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Stage(Scene):
    """The scene that the tests here share."""

    member: Person
    """In the admin room, without power."""
    other: Person
    """A moderator by power level, beside the room's creator."""
    left: str
    """Has the power level still, and isn't in the room any more."""
    listed: str
    """A moderator by `moderators.users`, not in the room."""
    admin_account: str
    target: str
    """An account that could be removed."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(homeserver: Homeserver) -> AsyncIterator[Stage]:
    """An encrypted admin room and accounts of every kind that isn't removed."""
    made = Stage(homeserver)
    try:
        made.listed = await made.account("listed")
        await made.set_up(
            moderators={"users": [made.listed]},
            protected_users=[f"@vip-*:{homeserver.server_name}", "guard-??????"],
        )
        made.other = await made.add_moderator()
        made.member = await made.add_moderator("member", level=0)
        gone = await made.add_moderator("former")
        await gone.leave(made.room)
        made.left = gone.user_id
        made.admin_account = await made.account("admin", admin=True)
        made.target = await made.account("target")
        yield made
    finally:
        await made.close()


# --- who is never removed --------------------------------------------------------------------------------------------

NEVER: dict[str, tuple[Callable[[Stage], str], str, str]] = {
    "the_bot": (lambda s: s.bot_id, "That's me", "the_bot"),
    "the_requester": (lambda s: s.moderator.user_id, "your own account", "yourself"),
    "a_moderator_by_power": (lambda s: s.other.user_id, "is a moderator", "moderator"),
    "a_moderator_by_the_settings": (lambda s: s.listed, "is a moderator", "moderator"),
    "a_moderator_who_left": (lambda s: s.left, "is a moderator", "moderator"),
    "a_server_admin": (lambda s: s.admin_account, "is a server admin", "server_admin"),
    "another_server": (lambda s: "@somebody:elsewhere.test", "account on another server", "other_server"),
    "the_same_name_elsewhere": (lambda s: f"{s.target}.evil.test", "account on another server", "other_server"),
    "nobody": (lambda s: "@no-such-account:lethe.test", "no account", "unknown"),
}


@pytest.mark.parametrize("erase", ["", " --erase"], ids=["plain", "erase"])
@pytest.mark.parametrize("case", NEVER)
async def test_some_are_never_removed(stage: Stage, case: str, erase: str) -> None:
    """Each who may not be removed is refused with the reason, which the audit keeps, and no account is changed."""
    whom, expected, because = NEVER[case]
    target = whom(stage)
    async with untouched(stage):
        said = await answer(stage, f"!deactivate {target}{erase}")
    assert expected in said.body and OPENED not in said.body
    assert audited(stage, "Refused")[-1] == (stage.moderator.user_id, target, {"because": because})


async def test_the_rooms_creator_is_never_removed(stage: Stage) -> None:
    """The creator of the admin room, whom room version 12 names in no power level, is a moderator too."""
    async with untouched(stage):
        said = await answer(stage, f"!deactivate {stage.moderator.user_id}", by=stage.other)
    assert "is a moderator" in said.body


@pytest.mark.parametrize("role", ["vip", "guard"])
async def test_protected_accounts_are_never_removed(stage: Stage, role: str) -> None:
    """`protected_users` protects by a glob for whole Matrix IDs and by one for localparts, and nobody else."""
    target, similar = await stage.account(role), await stage.account(f"no-{role}")
    async with untouched(stage):
        said = await answer(stage, f"!deactivate {target} --erase")
        assert "protected by my settings" in said.body
    assert OPENED in (await answer(stage, f"!deactivate {similar} --erase")).body


async def test_a_demoted_admin_can_be_removed(stage: Stage) -> None:
    """The refusal of a server admin says to take that right away first; once it is, the prompt comes."""
    admin = await stage.account("admin", admin=True)
    async with untouched(stage):
        assert "Remove that right first" in (await answer(stage, f"!deactivate {admin}")).body
    await stage.admin("PUT", f"v1/users/{quote(admin, safe='')}/admin", json={"admin": False})
    assert OPENED in (await answer(stage, f"!deactivate {admin}")).body


async def test_a_demoted_moderator_can_be_removed(stage: Stage) -> None:
    """Who was a moderator and isn't any more is an account like others."""
    former = await stage.add_moderator()
    async with untouched(stage):
        assert "is a moderator" in (await answer(stage, f"!deactivate {former.user_id}")).body
    await stage.moderator.set_power(stage.room, former.user_id, None)
    assert OPENED in (await answer(stage, f"!deactivate {former.user_id}")).body


async def test_a_wrong_case_is_unknown_and_the_right_one_is_named(stage: Stage) -> None:
    """Matrix IDs are case-sensitive: the wrong case is no account, and the answer names the one that exists."""
    typed = f"@{stage.target[1].upper()}{stage.target[2:]}"
    async with untouched(stage):
        said = await answer(stage, f"!deactivate {typed}")
    assert f"There is no account {typed}" in said.body and stage.target in said.body and "case" in said.body


@pytest.mark.parametrize("slip", ["short", "long", "swapped"])
async def test_a_misspelt_user_gets_similar_ones(stage: Stage, slip: str) -> None:
    """A letter too few, one too many, or two swapped: the answer names the account that was probably meant."""
    meant = await stage.account("quartermaster")
    name = meant[1:].partition(":")[0]
    typed = {"short": name[:-1], "long": f"{name}x", "swapped": f"{name[:4]}{name[5]}{name[4]}{name[6:]}"}[slip]
    async with untouched(stage):
        said = await answer(stage, f"!deactivate @{typed}")
    assert "no account" in said.body and f"Did you mean {meant}" in said.body


async def test_names_that_only_share_letters_are_not_similar(stage: Stage) -> None:
    """An account is suggested for its own name's sake, never for the server name that all have in common."""
    await stage.homeserver.register("zzyx", "a password of no use")
    async with untouched(stage):
        said = await answer(stage, "!deactivate @zzqq")
    assert "no account" in said.body and "Did you mean" not in said.body


async def test_an_application_services_account_is_never_removed(tmp_path: Path) -> None:
    """An account that a bridge registered, and the bridge's own, are refused: the bridge could use them again."""
    registration = {
        "id": "bridge", "url": None, "as_token": "as-token", "hs_token": "hs-token", "sender_localpart": "bridge",
        "rate_limited": False, "namespaces": {"users": [{"regex": "@bridge_.*", "exclusive": True}]},
    }  # fmt: skip
    file = tmp_path / "bridge.yaml"
    file.write_text(yaml.safe_dump(registration))
    async with Homeserver(config={"app_service_config_files": [str(file)]}) as homeserver:
        for localpart in ("bridge_puppet", "bridge"):
            body = {"type": "m.login.application_service", "username": localpart, "inhibit_login": True}
            await homeserver.call("POST", "/_matrix/client/v3/register", token="as-token", json=body)
        own = Scene(homeserver)
        try:
            await own.set_up()
            for localpart in ("bridge_puppet", "bridge"):
                async with untouched(own):
                    said = await answer(own, f"!deactivate @{localpart} --erase")
                assert "belongs to an application service" in said.body
        finally:
            await own.close()


# --- what is deactivated already -------------------------------------------------------------------------------------


async def test_a_deactivated_account_can_still_be_erased(stage: Stage) -> None:
    """Deactivated but not erased: the answer offers to erase, that works, and afterwards nothing is left to do."""
    target = await stage.account("leaver")
    path = f"v1/deactivate/{quote(target, safe='')}"
    await stage.admin("POST", path, json={"erase": False})
    async with untouched(stage):
        said = await answer(stage, f"!deactivate {target}")
    offered = f"!deactivate {target} --erase"
    assert "already deactivated, but not erased" in said.body and offered in said.body

    shown = await prompt(stage, offered)
    assert "Already deactivated" in shown.body
    await stage.moderator.react(stage.room, shown.event_id, "✅")
    done = await stage.moderator.reply_to(shown.replies_to or "", containing="Read back from the homeserver")
    assert "✗" not in done.body and "✓ marked as erased" in done.body
    assert (await stage.user(target))["erased"]

    async with untouched(stage):
        for command in (f"!deactivate {target}", offered):
            assert "already deactivated and erased" in (await answer(stage, command)).body


# --- who isn't obeyed ------------------------------------------------------------------------------------------------


async def test_members_without_the_right_get_a_polite_no(stage: Stage) -> None:
    """Whoever is in the admin room without being a moderator hears that they can't ask, and learns nothing else; who
    doesn't stop asking isn't answered any more."""
    async with untouched(stage):
        for command in (f"!deactivate {stage.target}", "!help", "!requests", "!status R1", "!nonsense"):
            said = await answer(stage, command, by=stage.member)
            assert said.body.startswith("Sorry, only moderators") and "R1" not in said.body
            assert audited(stage, "CommandRefused")[-1][0] == stage.member.user_id
        async with silence(stage) as further:
            further.append(await stage.member.say(stage.room, f"!deactivate {stage.target}"))


async def test_a_demoted_moderator_is_not_obeyed(stage: Stage) -> None:
    """The right to command is read from the room at that moment: it ends with the power level, and comes back."""
    person = await stage.add_moderator()
    assert OPENED in (await answer(stage, f"!deactivate {stage.target}", by=person)).body
    await stage.moderator.set_power(stage.room, person.user_id, 49)
    async with untouched(stage):
        said = await answer(stage, f"!deactivate {stage.target} --erase", by=person)
        assert said.body.startswith("Sorry, only moderators")
    await stage.moderator.set_power(stage.room, person.user_id, 50)
    assert OPENED in (await answer(stage, f"!deactivate {stage.target} --erase", by=person)).body


async def test_who_is_on_the_list_is_obeyed_once_in_the_room(stage: Stage) -> None:
    """`moderators.users` makes a moderator of a member without power."""
    person = Person(stage.homeserver.base_url, stage.listed)
    stage.people.append(person)
    await person.login(stage.passwords[stage.listed])
    await stage.moderator.invite(stage.room, stage.listed)
    await person.join(stage.room)
    assert "!deactivate @user" in (await answer(stage, "!help", by=person)).body


async def test_clear_text_in_an_encrypted_room_is_not_obeyed(stage: Stage) -> None:
    """A moderator's command that came unencrypted into the encrypted admin room is refused, since anybody who runs
    the server could have written it."""
    content = {"msgtype": "m.text", "body": f"!deactivate {stage.target} --erase"}
    async with untouched(stage):
        event_id = await stage.moderator.send_clear(stage.room, "m.room.message", content)
        said = await stage.moderator.reply_to(event_id)
    assert "your message wasn't" in said.body and stage.target not in said.body
