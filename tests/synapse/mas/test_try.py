"""`check --try-mas @throwaway`: the whole way with an account made for it, and with no other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sandbox.mas_scene import MasScene

MakeScene = Callable[..., Awaitable[MasScene]]


async def test_a_new_account_is_tried_with(scene: MakeScene) -> None:
    """Locked, unlocked, deactivated, each shown by both; it is gone then, and `check` passes."""
    stage = await scene()
    throwaway = await stage.account("throwaway")
    await stage.furnish(throwaway)
    code, output = await stage.bot.command("check", "--try-mas", throwaway)
    assert code == 0, output
    assert all(
        f"{what} {throwaway}: MAS and Synapse both show it" in output for what in ("lock", "unlock", "deactivate")
    )
    assert "no session is left" in output
    after = await stage.in_mas(throwaway)
    assert after["deactivated_at"] is not None and not any(after["sessions"].values())
    assert (await stage.user(throwaway))["erased"] is True


async def test_nobody_elses_account_is_tried_with(scene: MakeScene) -> None:
    """The bot's own, an admin's, one that there isn't, and what is no Matrix ID: each is refused, nothing happens."""
    stage = await scene()
    boss = await stage.account("boss", admin=True)
    for typed, said in (
        (stage.bot_id, "is protected"),
        (boss, "is protected"),
        ("@nobody-there", "know no account"),
        ("spam me", "is no Matrix ID"),
    ):
        code, output = await stage.bot.command("check", "--try-mas", typed)
        assert (code, said in output) == (1, True), output
    for user_id in (stage.bot_id, boss):
        assert not (await stage.user(user_id))["deactivated"]
