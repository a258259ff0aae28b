"""Commands about single accounts where MAS is in trouble, older, or of another mind than Synapse."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from sandbox.homeserver import CallFailed
from sandbox.mas import StandInMas
from sandbox.mas_scene import MasScene
from tests.support.admin_room import answer, audited
from tests.support.removals import begun, email

MakeScene = Callable[..., Awaitable[MasScene]]


async def token_works(stage: MasScene, user_id: str) -> bool:
    """Whether Synapse takes the account's own token."""
    try:
        await stage.homeserver.call("GET", "/_matrix/client/v3/account/whoami", token=stage.tokens[user_id])
    except CallFailed:
        return False
    return True


def localpart(user_id: str) -> str:
    return user_id[1:].partition(":")[0]


async def test_when_a_lock_takes_effect(scene: MakeScene) -> None:
    """Synapse believes for two minutes what MAS said of a token: one that was in use goes on for a while after the
    lock, one that was refused stays so for a while after the unlock. Both answers say so."""
    stage = await scene()
    used, idle = await stage.account("used"), await stage.account("idle")
    assert await token_works(stage, used)
    for user_id in (used, idle):
        said = (await answer(stage, f"!lock {user_id}")).body
        assert "is locked" in said and "2 minutes" in said
        assert (await stage.in_mas(user_id))["locked_at"] is not None
        assert (await stage.user(user_id))["locked"] is True
    assert (await token_works(stage, used), await token_works(stage, idle)) == (True, False)
    said = (await answer(stage, f"!unlock {idle}")).body
    assert "isn't locked any more" in said and "2 minutes" in said
    assert (await stage.in_mas(idle))["locked_at"] is None
    assert not await token_works(stage, idle)


async def test_mas_refuses_the_bot(scene: MakeScene, stand_in: StandInMas) -> None:
    """It is said at once who has to mend it, nothing is done, and other commands are answered."""
    stage = await scene()
    target = await stage.account("target")
    stand_in.service.allowed = False
    stand_in.expire_tokens()
    assert "doesn't let me in" in (await answer(stage, f"!lock {target}")).body
    assert stage.bot_id in (await answer(stage, "!ping")).body
    assert audited(stage, "AccountChangeBegun") == []
    stand_in.service.allowed = True
    assert "is locked" in (await answer(stage, f"!lock {target}")).body


@pytest.mark.parametrize(("command", "path"), [("lock", "lock"), ("unlock", "unlock"), ("logout", "finish")])
async def test_an_answer_that_was_lost(scene: MakeScene, stand_in: StandInMas, command: str, path: str) -> None:
    """MAS did it, and the answer got lost: it is done, read back, and one act in the audit."""
    stage = await scene()
    target = await stage.account("target")
    await stage.furnish(target)
    stand_in.service.lost.append(f"POST .*/{path}$")
    said = (await answer(stage, f"!{command} {target}")).body
    assert "That was refused" not in said and "I don't know" not in said
    assert stand_in.service.lost == []
    assert [row[2]["command"] for row in audited(stage, "AccountChangeBegun")] == [command]
    assert [row[2]["command"] for row in audited(stage, "AccountChanged")] == [command]


async def test_a_lasting_fault_is_said_and_holds_nobody_up(scene: MakeScene, stand_in: StandInMas) -> None:
    """MAS fails at locking for good: what is true is said, one act is audited, and the next command is answered."""
    stage = await scene()
    target = await stage.account("target")
    stand_in.service.faults += [("POST .*/lock$", 500)] * 200
    asked = await stage.moderator.say(stage.room, f"!lock {target}")
    after = await stage.moderator.say(stage.room, "!ping")
    said = await stage.moderator.reply_to(asked, timeout=90)
    assert (
        "I don't know whether" in said.body
        and "Now it is not locked, not suspended, logged in. The command" in said.body
    )
    await stage.moderator.reply_to(after, timeout=30)
    assert len(audited(stage, "AccountChangeBegun")) == 1
    assert [row[2]["because"] for row in audited(stage, "AccountChangeFailed")] == ["unknown"]


@pytest.mark.parametrize("where", ["mas", "synapse"])
async def test_half_deactivated_and_back(scene: MakeScene, stand_in: StandInMas, where: str) -> None:
    """Deactivated in one of the two only: `!reactivate` says so in its prompt, and then it is active in both."""
    stage = await scene()
    target = await stage.account("half")
    if where == "mas":
        stand_in.change(localpart(target), deactivated_at="2026-01-01T00:00:00Z")
    else:
        body = {"localpart": localpart(target), "erase": False}
        await stage.homeserver.call("POST", "/_synapse/mas/delete_user", token=stand_in.secret, json=body)
    removal = await begun(stage, f"!reactivate {target}")
    card = next(e for e in stage.moderator.timeline.events if removal.reference in e.body)
    assert "deactivated in only one of MAS and Synapse" in card.body
    await removal.says("is active again")
    assert (await stage.in_mas(target))["deactivated_at"] is None
    assert not (await stage.user(target))["deactivated"]


async def test_an_account_that_only_mas_has(scene: MakeScene, stand_in: StandInMas) -> None:
    """It is said which of the two doesn't have it; once Synapse has been told, it is shown."""
    stage = await scene()
    name = f"new-{stage.bot_id[-17:-12]}"
    mas_id = stand_in.service.new_user(name)
    user_id = stage.homeserver.user_id(name)
    said = (await answer(stage, f"!info {user_id}")).body
    assert user_id in said and "the homeserver doesn't" in said
    stand_in.service.later(lambda: stand_in.service.provision(mas_id))


async def test_an_address_of_two_accounts(scene: MakeScene, stand_in: StandInMas) -> None:
    """Nobody is shown: it can't be told whose it is."""
    stage = await scene()
    one, two = await stage.account("one"), await stage.account("two")
    await stage.furnish(one)
    address = email(one)["address"]
    owner = stand_in.service.records.by_name(localpart(two))
    stand_in.service.records.add("user-emails", user_id=owner, email=address)
    said = (await answer(stage, f"!info {address}")).body
    assert "More than one account has that address" in said and one not in said


@pytest.mark.parametrize("name", [".", ".."])
async def test_a_name_of_dots(scene: MakeScene, stand_in: StandInMas, name: str) -> None:
    """It can't be a part of a path, and is an account like any other."""
    stage = await scene()
    user_id = stage.homeserver.user_id(name)
    if stand_in.service.records.by_name(name) is None:
        await stand_in.user(name)
    assert "is locked" in (await answer(stage, f"!lock {user_id}")).body
    assert "isn't locked" in (await answer(stage, f"!unlock {user_id}")).body


async def test_an_older_mas_without_personal_sessions(scene: MakeScene, stand_in: StandInMas) -> None:
    """It has no such list: then there are no such sessions, and the removal is done."""
    stage = await scene()
    target = await stage.account("target")
    stand_in.service.without.add("personal-sessions")
    removal = await begun(stage, f"!deactivate {target}")
    assert "✗" not in await removal.done()


async def test_too_much_within_an_hour(scene: MakeScene) -> None:
    """Over the limit, one person changes no further account; taking a change back is always free."""
    stage = await scene(moderators={"max_changes_per_hour": 2})
    targets = [await stage.account("loud") for _ in range(3)]
    for target in targets[:2]:
        assert "is suspended" in (await answer(stage, f"!suspend {target}")).body
    assert "max_changes_per_hour" in (await answer(stage, f"!lock {targets[2]}")).body
    assert (await stage.user(targets[2]))["locked"] is False
    for target in targets[:2]:
        assert "isn't suspended" in (await answer(stage, f"!unsuspend {target}")).body
    assert "max_changes_per_hour" in (await answer(stage, f"!suspend {targets[2]}")).body
