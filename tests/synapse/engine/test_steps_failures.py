"""How a removal fails, is cancelled, and goes on: each kind of failure provoked on a real Synapse."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from removal.plan import Kind, Step
from removal.request import Request, State, StepRecord, StepState
from sandbox.homeserver import Homeserver
from sandbox.proxy import Proxy, answer, held
from sandbox.scene import Scene
from tests.support.removals import Removal, asked, begun, email, furnished
from tests.synapse.conftest import settled

MakeScene = Callable[..., Awaitable[Scene]]
FreshHomeserver = Callable[..., Awaitable[Homeserver]]
NO_IDENTITY_SERVER = "127.0.0.1:1"


def bind(homeserver: Homeserver, user_id: str, server: str | None) -> None:
    """Notes in the homeserver's database what binding at an identity server leaves behind; None takes it away."""
    with closing(sqlite3.connect(homeserver.database_file, timeout=10)) as database:
        database.execute("DELETE FROM user_threepid_id_server WHERE user_id = ?", (user_id,))
        if server is not None:
            database.execute(
                "INSERT INTO user_threepid_id_server (user_id, medium, address, id_server) VALUES (?, ?, ?, ?)",
                (user_id, "email", email(user_id)["address"], server),
            )
        database.commit()


async def in_state(removal: Removal, state: str) -> None:
    """Waits until the bot has brought a request there."""

    async def there() -> bool:
        return removal.state == state

    await settled(there)


@pytest.mark.parametrize("before", [False, True], ids=["not suspended before", "suspended before"])
async def test_a_cancel_before_the_deactivation_leaves_the_account_as_it_was(
    scene: MakeScene, proxy: Proxy, before: bool
) -> None:
    """Cancelled in the middle of a step, the removal ends there: the bot's suspension is lifted, somebody else's
    isn't."""
    stage = await scene(homeserver={"url": proxy.base_url})
    target = await stage.account("bystander")
    await stage.admin("PUT", f"v1/suspend/{target}", json={"suspend": before})
    removal = await asked(stage, f"!deactivate {target} --erase")
    gate = asyncio.Event()
    suspended = proxy.on("PUT", "/suspend/", held(gate, acts=True), times=1)
    await removal.confirm()
    await suspended.hit()
    await settled(lambda: _suspended(stage, target))
    await removal.cancel()
    await removal.says("stopping here")
    gate.set()
    assert "not deactivated" in await removal.says("cancelled by")
    user = await stage.user(target)
    assert (user["deactivated"], user["suspended"]) == (False, before)
    assert proxy.count("POST", "/deactivate/") == 0


async def _suspended(stage: Scene, user_id: str) -> bool:
    return bool((await stage.user(user_id))["suspended"])


async def test_a_cancel_after_the_point_of_no_return_says_why_it_comes_too_late(scene: MakeScene, proxy: Proxy) -> None:
    """Once the deactivation was asked for, nobody can take it back, and the removal runs to its end."""
    stage = await scene(homeserver={"url": proxy.base_url})
    target = await stage.account("spammer")
    gate = asyncio.Event()
    rule = proxy.on("POST", "/deactivate/", held(gate))
    removal = await begun(stage, f"!deactivate {target}")
    await rule.hit()
    assert "too late" in await removal.command("cancel")
    gate.set()
    await removal.done()


@pytest.mark.slow
async def test_an_identity_server_that_is_away_needs_a_person(
    scene: MakeScene, fresh_homeserver: FreshHomeserver
) -> None:
    """The third-party step fails three times, then the moderators hear cause and remedy; the target stays suspended;
    once it is mended, `!retry` finishes the removal."""
    own = await fresh_homeserver()
    stage = await scene(on=own)
    target = await stage.account("spammer")
    await furnished(stage, target, threepids=[email(target)])
    bind(own, target, NO_IDENTITY_SERVER)
    removal = await begun(stage, f"!deactivate {target}")
    for _ in range(2):  # the first attempts are taken for passing; nobody need wait for the back-off
        await settled(lambda: _waits(removal))
        assert "Next attempt" in await removal.command("status")
        await removal.retry()
    said = await removal.says("is stuck at")
    assert "identity server" in said and "Suspended, not deactivated" in said and "!cancel" in said
    user = await stage.user(target)
    assert (user["deactivated"], user["suspended"]) == (False, True)
    assert removal.step("threepids")["attempts"] == 3
    bind(own, target, None)
    await own.restart()  # Synapse remembers what was bound
    await removal.retry()
    assert "✓ no e-mail address" in await removal.done()


async def _waits(removal: Removal) -> bool:
    return removal.state == "running" and removal.stored["retry_ts"] is not None


async def test_an_identity_server_that_fails_at_the_deactivation_needs_a_person(
    scene: MakeScene, fresh_homeserver: FreshHomeserver
) -> None:
    """400 on the deactivation itself: nothing was done, and `!cancel` sets the account free again."""
    own = await fresh_homeserver()
    stage = await scene(on=own)
    target = await stage.account("bystander")
    bind(own, target, NO_IDENTITY_SERVER)  # bound, and not among the account's own addresses
    removal = await begun(stage, f"!deactivate {target} --erase")
    said = await removal.says("is stuck at “deactivate”")
    assert "identity server" in said and "not deactivated" in said and "!cancel" in said
    assert (await stage.user(target))["suspended"]
    await removal.cancel()
    await removal.says("cancelled by")
    user = await stage.user(target)
    assert (user["deactivated"], user["suspended"]) == (False, False)


async def test_a_module_that_forbids_it_needs_a_person(
    scene: MakeScene, fresh_homeserver: FreshHomeserver, tmp_path: Path
) -> None:
    """A homeserver's module says no: the moderators hear that it is forbidden; once it says yes, `!retry` works."""
    veto = tmp_path / "veto"
    veto.touch()
    module = {"module": "tests.synapse.modules.veto.Veto", "config": {"file": str(veto)}}
    stage = await scene(on=await fresh_homeserver(config={"modules": [module]}))
    target = await stage.account("spammer")
    removal = await begun(stage, f"!deactivate {target}")
    said = await removal.says("is stuck at “deactivate”")
    assert "forbids it" in said and "module" in said
    assert removal.state == "blocked"
    assert not (await stage.user(target))["deactivated"]
    veto.unlink()
    await removal.retry()
    await removal.done()


async def test_a_homeserver_without_a_path_needs_a_person(scene: MakeScene, proxy: Proxy) -> None:
    """404 for the path itself isn't 404 for the account: nothing is given up, somebody has to look."""
    stage = await scene(homeserver={"url": proxy.base_url})
    target = await stage.account("spammer")
    unknown = answer(404, {"errcode": "M_UNRECOGNIZED", "error": "Unrecognized request"})
    proxy.on("PUT", "/suspend/", unknown, times=1)
    removal = await begun(stage, f"!deactivate {target}")
    await removal.says("is stuck at “suspend”")
    await removal.retry()
    await removal.done()


async def test_what_is_stuck_can_be_retried_after_a_restart(scene: MakeScene, proxy: Proxy) -> None:
    """A blocked request neither runs by itself at the next start nor is forgotten."""
    stage = await scene(homeserver={"url": proxy.base_url})
    target = await stage.account("spammer")
    proxy.on("POST", "/deactivate/", answer(403, {"errcode": "M_FORBIDDEN", "error": "no"}), times=1)
    removal = await begun(stage, f"!deactivate {target}")
    await removal.says("is stuck at")
    await stage.bot.restart()
    assert "needs a moderator" in await removal.command("status")
    assert proxy.count("POST", "/deactivate/") == 1
    await removal.retry()
    await removal.done()


async def test_two_requests_never_work_on_one_account(scene: MakeScene) -> None:
    """A person's own removal is half way through and waits: a moderator's begins only once it is over. Else it would
    take the other's suspension for somebody else's, and leave it."""
    stage = await scene()
    target = await stage.account("leaver")
    removal = await asked(stage, f"!deactivate {target}")
    steps = (StepRecord(Step.SNAPSHOT, StepState.DONE), StepRecord(Step.SUSPEND, StepState.FAILED, 1))
    own = Request(
        99,
        Kind.OWN,
        target,
        target,
        "!direct:lethe.test",
        "$asked",
        0,
        0,
        state=State.RUNNING,
        steps=steps,
        retry_ts=2**52,
    )
    with closing(sqlite3.connect(stage.bot.database)) as database, database:
        database.execute(
            "INSERT INTO requests (id, kind, state, open, requester_id, target_id, room_id, created_ts, wake_ts, "
            "version, data) VALUES (99, 'own', 'running', 1, ?, ?, '!direct:lethe.test', 0, ?, 1, ?)",
            (target, target, 2**52, json.dumps({**own.to_dict(), "version": 1})),
        )
    await removal.confirm()
    await settled(lambda: _waits_for_another(removal))
    assert not (await stage.user(target))["suspended"]
    with closing(sqlite3.connect(stage.bot.database)) as database, database:
        database.execute("UPDATE requests SET open = 0, state = 'failed', wake_ts = NULL WHERE id = 99")
    await removal.retry()
    assert await removal.done()


async def _waits_for_another(removal: Removal) -> bool:
    return any("R99 for the same account is under way" in step["cause"] for step in removal.stored["steps"])
