"""The rungs below a removal: each does what it says, the homeserver shows it, and the audit has who wanted it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import quote

import pytest

from sandbox.homeserver import CallFailed
from sandbox.mas_scene import MasScene
from sandbox.scene import Scene
from tests.support.admin_room import answer, audited, untouched
from tests.support.removals import begun, email, furnished
from version import VERSION

MakeScene = Callable[..., Awaitable[Scene]]


async def with_address(stage: Scene, user_id: str) -> str:
    """Gives an account an e-mail address, by the door that its server has."""
    if isinstance(stage, MasScene):
        await stage.furnish(user_id)
    else:
        await furnished(stage, user_id, threepids=[email(user_id)])
    return email(user_id)["address"]


async def token_status(stage: Scene, user_id: str) -> int:
    """What the account's own token gets."""
    try:
        await stage.homeserver.call("GET", "/_matrix/client/v3/account/whoami", token=stage.tokens[user_id])
    except CallFailed as error:
        return error.status
    return 200


async def devices(stage: Scene, user_id: str) -> int:
    return int((await stage.admin("GET", f"v2/users/{quote(user_id)}/devices"))["total"])


async def test_suspending_and_back(scene: MakeScene) -> None:
    """Suspended, the account can't write; the answer names the way back, which works; both are in the audit."""
    stage = await scene()
    target = await stage.account("loud")
    said = await answer(stage, f"!suspend {target} --reason too loud")
    assert "is suspended" in said.body and f"!unsuspend {target}" in said.body
    assert (await stage.user(target))["suspended"] is True
    assert "isn't suspended any more" in (await answer(stage, f"!unsuspend {target}")).body
    assert (await stage.user(target))["suspended"] is False
    begun_rows, done_rows = audited(stage, "AccountChangeBegun"), audited(stage, "AccountChanged")
    assert [(row[0], row[1], row[2]["command"]) for row in begun_rows] == [
        (stage.moderator.user_id, target, "suspend"),
        (stage.moderator.user_id, target, "unsuspend"),
    ]
    assert [row[2]["command"] for row in done_rows] == ["suspend", "unsuspend"]


async def test_locking_ends_no_session(scene: MakeScene) -> None:
    """Locked, the token doesn't work; unlocked, the same token works again."""
    stage = await scene()
    target = await stage.account("locked")
    before = await devices(stage, target)
    said = await answer(stage, f"!lock {target}")
    assert "is locked" in said.body and "haven't ended" in said.body
    assert (await stage.user(target))["locked"] is True
    assert await token_status(stage, target) == 401
    assert "isn't locked any more" in (await answer(stage, f"!unlock {target}")).body
    assert (await stage.user(target))["locked"] is False
    assert await devices(stage, target) == before


async def test_logging_out_everywhere(scene: MakeScene) -> None:
    """No device is left, the token is dead, and the account is otherwise as it was."""
    stage = await scene()
    target = await stage.account("forgetful")
    if isinstance(stage, MasScene):
        await stage.furnish(target)
    assert "is logged out everywhere" in (await answer(stage, f"!logout {target}")).body
    assert await devices(stage, target) == 0
    assert await token_status(stage, target) == 401
    user = await stage.user(target)
    assert (user["locked"], user["suspended"], user["deactivated"]) == (False, False, False)
    if isinstance(stage, MasScene):
        assert not any((await stage.in_mas(target))["sessions"].values())


async def test_a_first_day(scene: MakeScene) -> None:
    """A report is seen in `!info`, the account suspended and set free; one named by its address was got into, is closed
    and opened; a spammer is removed."""
    stage = await scene()
    reported, victim, spammer = [await stage.account(role) for role in ("reported", "victim", "spammer")]
    reporter = await stage.account("reporter")
    path = f"/_matrix/client/v3/users/{quote(reported)}/report"
    await stage.homeserver.call("POST", path, token=stage.tokens[reporter], json={"reason": "rude"})
    card = (await answer(stage, f"!info {reported}")).body
    assert reported in card and "Reports against it: 1" in card and "suspended" not in card
    await answer(stage, f"!suspend {reported}")
    assert "suspended" in (await answer(stage, f"!info {reported}")).body
    await answer(stage, f"!unsuspend {reported}")

    address = await with_address(stage, victim)
    card = (await answer(stage, f"!info {address.upper()}")).body
    assert victim in card and "email" in card
    assert "closed" not in card
    said = (await answer(stage, f"!compromised {victim}")).body
    assert "logged out everywhere and locked" in said and f"!unlock {victim}" in said
    assert (await stage.user(victim))["locked"] is True
    assert (await devices(stage, victim), await token_status(stage, victim)) == (0, 401)
    if stage.passwords[victim]:
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": victim},
            "password": stage.passwords[victim],
        }
        with pytest.raises(CallFailed):
            await stage.homeserver.call("POST", "/_matrix/client/v3/login", json=body)
    await answer(stage, f"!unlock {victim}")
    assert (await stage.user(victim))["locked"] is False

    removal = await begun(stage, f"!deactivate {spammer} --erase")
    assert "✗" not in await removal.done()
    card = (await answer(stage, f"!info {spammer}")).body
    assert removal.reference in card and "deactivated" in card


async def test_the_same_people_are_protected(scene: MakeScene) -> None:
    """No rung touches a moderator, a server admin, the bot, another server's account, or nobody."""
    stage = await scene()
    admin = await stage.account("boss", admin=True)
    async with untouched(stage):
        for command in ("suspend", "unsuspend", "lock", "unlock", "logout", "compromised"):
            for user_id, said in (
                (admin, "is a server admin"),
                (stage.bot_id, "I can't remove myself"),
                ("@nobody-at-all:lethe.test", "There is no account"),
                ("@a:elsewhere.test", "another server"),
            ):
                assert said in (await answer(stage, f"!{command} {user_id}")).body
    assert audited(stage, "AccountChangeBegun") == []


async def test_a_deactivated_account_and_one_at_work(scene: MakeScene) -> None:
    """What is deactivated is left alone, and says so."""
    stage = await scene()
    target = await stage.account("gone")
    await (await begun(stage, f"!deactivate {target}")).done()
    for command in ("suspend", "lock", "logout"):
        assert "is deactivated" in (await answer(stage, f"!{command} {target}")).body


async def test_looking(scene: MakeScene) -> None:
    """`!ping`, `!version`, `!memberships`, `!info --sessions`, an address that nobody has, and what is no account."""
    stage = await scene()
    target = await stage.person("roomy")
    await target.create_room(name="The Roomiest")
    ping = (await answer(stage, "!ping")).body
    assert stage.bot_id in ping and "lethe.test" in ping
    version = (await answer(stage, "!version")).body
    assert f"Lethe {VERSION}" in version and "Synapse 1." in version
    assert ("MAS" in version) is isinstance(stage, MasScene)
    rooms = (await answer(stage, f"!memberships {target.user_id}")).body
    assert "in 1 room" in rooms and "The Roomiest" in rooms and "join" in rooms
    sessions = (await answer(stage, f"!info {target.user_id} --sessions")).body
    assert target.device_id in sessions and "127.0.0.1" in sessions
    assert "127.0.0.1" not in (await answer(stage, f"!info {target.user_id}")).body
    for address in ("nobody@example.org", "+49301234567"):
        assert "No account here has the address" in (await answer(stage, f"!info {address}")).body
    assert "isn't a Matrix ID" in (await answer(stage, "!info nonsense")).body
