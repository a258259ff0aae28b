"""Each step of a removal against a real Synapse: what it does, what it promises, and how it ends."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

import pytest

from removal.plan import Kind, Media, Options, proofs_for, steps_for
from sandbox.homeserver import CallFailed
from sandbox.proxy import Proxy, answer, changing, held
from sandbox.scene import Scene
from tests.support.admin_room import answer as answered
from tests.support.admin_room import untouched
from tests.support.removals import (
    RECEIPT,
    asked,
    begun,
    call_as,
    email,
    furnished,
    media_total,
    readable,
    redactions,
    talk,
    unchanged,
    upload,
)
from tests.synapse.conftest import settled

MakeScene = Callable[..., Awaitable[Scene]]
EVERYTHING = Options(erase=True, redact=True, media=Media.DELETE, forget_sso=True)


async def test_a_removal_with_every_option_leaves_nothing_that_it_promised_to_take(scene: MakeScene) -> None:
    """All that the plan promises is true on the homeserver, the receipt lists each proof, nobody else is touched."""
    stage = await scene()
    spammer, reader = await stage.account("spammer"), await stage.account("reader")
    await furnished(stage, reader, threepids=[email(reader)])
    await furnished(
        stage,
        spammer,
        threepids=[email(spammer)],
        external_ids=[{"auth_provider": "oidc-test", "external_id": spammer}],
    )
    await upload(stage, stage.tokens[spammer], 103)
    await upload(stage, stage.tokens[reader], 1)
    rooms = [await talk(stage, spammer, version, members=(reader,)) for version in ("10", "11", "12")]

    async with unchanged(stage, reader):
        removal = await begun(stage, f"!deactivate {spammer} --erase --redact --media --forget-sso --reason spam wave")
        receipt = await removal.done()

    assert receipt.count("* ✓") == len(proofs_for(EVERYTHING)) and "✗" not in receipt
    for said in ("files: 103 deleted", "in 3 rooms", "Reason: spam wave", "!receipt R", "Audit: "):
        assert said in receipt
    user = await stage.user(spammer)
    assert (user["deactivated"], user["erased"], user["displayname"]) == (True, True, None)
    assert (user["threepids"], user["external_ids"], user["suspended"]) == ([], [], False)
    assert await media_total(stage, spammer) == 0
    assert (await stage.admin("GET", f"v1/users/{spammer}/joined_rooms"))["total"] == 0
    assert [await readable(stage, reader, room, spammer) for room in rooms] == [0, 0, 0]
    assert len(await redactions(stage, spammer)) == 1
    # The address is free for somebody else.
    heir = await stage.account("heir")
    changed = await furnished(stage, heir, threepids=[email(spammer)])
    assert [each["address"] for each in changed["threepids"]] == [email(spammer)["address"]]

    steps = [step["step"] for step in removal.stored["steps"]]
    assert steps == [step.value for step in steps_for(Kind.MODERATION, EVERYTHING)]
    times = [step["ended_ts"] for step in removal.stored["steps"]]
    assert times == sorted(times)
    status = await removal.command("status", "done")
    assert all(name in status for name in ("redact messages", "remove third-party IDs", "check the result"))


async def test_quarantine_keeps_the_files_out_of_reach(scene: MakeScene) -> None:
    """With `--quarantine` the files stay as evidence, and each is marked; the receipt says how many."""
    stage = await scene()
    spammer = await stage.account("spammer")
    await upload(stage, stage.tokens[spammer], 2)
    removal = await begun(stage, f"!deactivate {spammer} --quarantine")
    receipt = await removal.done()
    assert "files: 2 quarantined" in receipt and "✓ uploaded files quarantined" in receipt
    files = (await stage.admin("GET", f"v1/users/{spammer}/media"))["media"]
    assert [each["quarantined_by"] for each in files] == [stage.bot_id] * 2
    assert not (await stage.user(spammer))["erased"]


async def test_a_dry_run_shows_the_plan_and_asks_nobody(scene: MakeScene) -> None:
    """`--dry-run` shows the steps in order, opens no request and touches nothing."""
    stage = await scene()
    target = await stage.account("bystander")
    async with untouched(stage):
        shown = await answered(stage, f"!deactivate {target} --erase --redact --dry-run")
    assert "Dry run" in shown.body and "nothing happens" in shown.body
    order = [
        "Suspends",
        "Removes its e-mail",
        "Redacts",
        "Deactivates and erases",
        "from all rooms",
        "Checks the result",
    ]
    places = [shown.body.index(word) for word in order]
    assert places == sorted(places)
    assert stage.moderator.reactions_on(shown.event_id) == []


async def test_the_prompt_shows_the_steps_that_are_done(scene: MakeScene) -> None:
    """What the prompt lists is, step for step, what the request then consists of."""
    stage = await scene()
    target = await stage.account("spammer")
    removal = await asked(stage, f"!deactivate {target} --erase --media")
    shown = re.findall(r"^\s*\d+\. ", removal.card.body, re.MULTILINE)
    await removal.confirm()
    await removal.done()
    assert len(shown) == len(removal.stored["steps"])


async def test_no_receipt_before_the_proofs_are_read(scene: MakeScene, proxy: Proxy) -> None:
    """While a proof can't be read, or reads wrong, nothing is called done; the receipt follows by itself."""
    stage = await scene(homeserver={"url": proxy.base_url})
    target = await stage.account("spammer")
    removal = await asked(stage, f"!deactivate {target} --erase")
    gate = asyncio.Event()
    proxy.on("GET", f"{target[1:8]}.*/pushers", held(gate), times=1)
    wrong = proxy.on("GET", f"{target[1:8]}.*/devices", answer(200, {"devices": [{"device_id": "LEFT"}], "total": 1}))
    await removal.confirm()
    await proxy.seen("GET", f"{target[1:8]}.*/pushers")
    assert "check the result: started" in await removal.command("status", removal.reference)
    gate.set()
    opened = await removal.says("isn't finished")
    assert "✗ no devices" in opened and "✓ deactivated" in opened
    assert removal.state == "running"
    await removal.command("status", "not confirmed yet")
    assert not any(RECEIPT in message.body for message in stage.moderator.messages(stage.room))
    wrong.lift()
    await removal.retry()
    assert "✗" not in await removal.done()


async def test_what_is_shown_a_moment_late_is_no_failure(scene: MakeScene, proxy: Proxy) -> None:
    """A homeserver with workers may still show the account as it was: the bot looks again until it shows it as it is,
    and nothing is done or said twice."""
    stage = await scene(homeserver={"url": proxy.base_url})
    removal = await asked(stage, f"!deactivate {await stage.account('spammer')} --erase")
    gates = [asyncio.Event() for _ in range(2)]
    released = proxy.on("PUT", "/suspend/", held(gates[1], acts=True), times=1)
    suspended = proxy.on("PUT", "/suspend/", held(gates[0], acts=True), times=1)
    await removal.confirm()
    for act, gate, late in ((suspended, gates[0], False), (released, gates[1], True)):

        def before(user: dict[str, object], late: bool = late) -> None:
            user["suspended"] = late

        await act.acted()
        rule = proxy.on("GET", "/v2/users/[^/]*$", changing(before), times=3)
        gate.set()
        await rule.hit(3)
    proxy.on("GET", "/v2/users/[^/]*$", changing(lambda user: user.update(erased=False)), times=2)
    assert "✗" not in await removal.done()
    attempts = {record["step"]: record["attempts"] for record in removal.stored["steps"]}
    assert set(attempts.values()) == {1}, attempts
    assert proxy.count("PUT", "/suspend/") == 2 and proxy.count("POST", "/deactivate/") == 1


async def test_an_account_that_came_back_to_a_room_is_repaired(scene: MakeScene, proxy: Proxy) -> None:
    """The rejoin race: joined again after all rooms were left, the account is deactivated a second time."""
    stage = await scene(homeserver={"url": proxy.base_url})
    target = await stage.account("spammer")
    room = await talk(stage, target, "11", members=(stage.moderator.user_id,))
    await call_as(stage, stage.bot_id, "POST", "/_matrix/client/v3/join/{}", room, json={})
    removal = await asked(stage, f"!deactivate {target}")
    gate = asyncio.Event()
    looking = proxy.on("GET", "scheduled_tasks.*update_join_states", held(gate), times=1)
    await removal.confirm()
    await looking.hit()
    assert (await stage.admin("GET", f"v1/users/{target}/joined_rooms"))["total"] == 0
    # As the homeserver's own task does it, which a suspension doesn't hold up.
    await stage.admin("PUT", f"v1/suspend/{target}", json={"suspend": False})
    await stage.admin("POST", f"v1/join/{room}", json={"user_id": target})
    await stage.admin("PUT", f"v1/suspend/{target}", json={"suspend": True})
    assert (await stage.admin("GET", f"v1/users/{target}/joined_rooms"))["total"] == 1
    gate.set()
    assert "after 1 repair" in await removal.done()
    assert (await stage.admin("GET", f"v1/users/{target}/joined_rooms"))["total"] == 0
    assert proxy.count("POST", "/deactivate/") == 2


async def test_a_profile_change_just_before_leaves_nobody_in_a_room(scene: MakeScene) -> None:
    """The race as it happens: whoever renames in the last moment is in no room at the end all the same."""
    stage = await scene()
    target = await stage.account("spammer")
    for _ in range(12):
        await talk(stage, target, "11", messages=0)
    removal = await asked(stage, f"!deactivate {target}")
    name = asyncio.create_task(
        call_as(stage, target, "PUT", f"/_matrix/client/v3/profile/{target}/displayname", json={"displayname": "x"})
    )
    await removal.confirm()
    receipt = await removal.done()
    await asyncio.gather(name, return_exceptions=True)
    assert "✓ in no room" in receipt
    assert (await stage.admin("GET", f"v1/users/{target}/joined_rooms"))["total"] == 0


async def test_one_account_has_one_request_at_work(scene: MakeScene, proxy: Proxy) -> None:
    """A second command for an account that is being removed, or decided on by somebody else, opens no request."""
    stage = await scene(homeserver={"url": proxy.base_url})
    other = await stage.add_moderator("moderator")
    target = await stage.account("spammer")
    gate = asyncio.Event()
    proxy.on("POST", f"/deactivate/.*{target[1:8]}", held(gate))
    removal = await begun(stage, f"!deactivate {target}")
    await proxy.seen("POST", "/deactivate/")
    for person in (stage.moderator, other):
        said = await answered(stage, f"!deactivate {target} --erase", by=person)
        assert removal.reference in said.body and "to go on" not in said.body
    gate.set()
    await removal.done()
    assert not (await stage.user(target))["erased"]


@pytest.mark.slow
async def test_accounts_are_removed_side_by_side_but_not_all_at_once(scene: MakeScene, proxy: Proxy) -> None:
    """Six confirmed removals: four are at work together, the others follow, and all six are done."""
    stage = await scene(homeserver={"url": proxy.base_url})
    targets = [await stage.account("spammer") for _ in range(6)]
    gate = asyncio.Event()
    rule = proxy.on("POST", "/deactivate/", held(gate))
    removals = [await begun(stage, f"!deactivate {target}") for target in targets]
    await rule.hit(4)
    status = await answered(stage, "!requests")
    assert status.body.count("in progress") == 6
    assert proxy.count("POST", "/deactivate/") == 4
    gate.set()
    for removal in removals:
        await removal.done()
    assert proxy.count("POST", "/deactivate/") == 6


@pytest.mark.parametrize("when", ["before the first step", "in the middle"])
async def test_an_account_that_is_gone_ends_its_request(scene: MakeScene, proxy: Proxy, when: str) -> None:
    """Where the homeserver doesn't know the account any more, the request ends and people are told."""
    stage = await scene(homeserver={"url": proxy.base_url})
    target = await stage.account("spammer")
    removal = await asked(stage, f"!deactivate {target}")
    gone = answer(404, {"errcode": "M_NOT_FOUND", "error": "User not found"})
    if when == "before the first step":
        proxy.on("*", f"/(users|suspend|deactivate)/.*{target[1:8]}", gone)
        await removal.confirm()
        assert "no account" in await removal.says("no account")
    else:
        gate = asyncio.Event()
        started = proxy.on("GET", f"/v2/users/.*{target[1:8]}[^/]*$", held(gate), times=1)
        proxy.on("PUT", "/suspend/", held(gate), times=1)
        await removal.confirm()
        await started.hit()
        started.lift()
        gate.set()
        await proxy.seen("PUT", "/suspend/")
        proxy.on("*", f"/(users|suspend|deactivate)/.*{target[1:8]}", gone)
        assert "could not be removed" in await removal.says("could not be removed")
    await settled(lambda: _ended(removal.stored))
    assert not (await stage.user(target))["deactivated"]


async def _ended(stored: dict[str, object]) -> bool:
    return stored["ended_ts"] is not None


async def test_the_token_of_a_removed_account_is_dead(scene: MakeScene) -> None:
    """After the receipt nobody is logged in."""
    stage = await scene()
    target = await stage.account("spammer")
    await (await begun(stage, f"!deactivate {target}")).done()
    with pytest.raises(CallFailed):
        await call_as(stage, target, "GET", "/_matrix/client/v3/account/whoami")


@pytest.mark.parametrize("clear", [True, False], ids=["cleared", "kept"])
async def test_lock_and_shadow_ban(scene: MakeScene, clear: bool) -> None:
    """They outlive a deactivation: the setting clears and checks them, without it the receipt says what stays; the
    prompt names them in both cases."""
    stage = await scene(removal={"clear_lock_and_shadow_ban": clear})
    target = await stage.account("spammer")
    await furnished(stage, target, locked=True)
    await stage.admin("POST", f"v1/users/{target}/shadow_ban", json={})
    removal = await asked(stage, f"!deactivate {target}")
    assert "Already locked, shadow-banned" in removal.card.body
    assert ("lifts its shadow-ban" in removal.card.body) is clear
    await removal.confirm()
    outcome = await removal.done()
    assert all(("✓ not " + mark in outcome) is clear for mark in ("locked", "shadow-banned"))
    user = await stage.user(target)
    assert (user["deactivated"], user["locked"], user["shadow_banned"]) == (True, not clear, not clear)
    receipt = await removal.command("receipt", "Receipt")
    assert ("The account stays locked" in receipt, "The account stays shadow-banned" in receipt) == (
        not clear,
        not clear,
    )


async def test_a_removal_that_is_given_up_leaves_a_lock(scene: MakeScene, proxy: Proxy) -> None:
    """Whatever the setting: only a removal that comes to its end takes off what an admin had put on the account."""
    stage = await scene(homeserver={"url": proxy.base_url}, removal={"clear_lock_and_shadow_ban": True})
    target = await stage.account("spammer")
    await furnished(stage, target, locked=True)
    removal = await asked(stage, f"!deactivate {target}")
    failing = proxy.on("PUT", "/suspend/", answer(500, {}))
    await removal.confirm()
    await failing.hit()
    await stage.moderator.say(stage.room, f"!cancel {removal.reference}")
    await removal.says("topping here")
    failing.lift()
    await removal.says("cancelled by")
    user = await stage.user(target)
    assert (user["deactivated"], user["suspended"], user["locked"]) == (False, False, True)


async def test_invitations_and_the_directory_are_checked(scene: MakeScene, proxy: Proxy) -> None:
    """Neither an open invitation nor an entry in the user directory is left, and while either still shows, the removal
    isn't called done."""
    stage = await scene(homeserver={"url": proxy.base_url})
    target, host = await stage.account("spammer"), await stage.account("host")
    await talk(stage, target, "11")
    room = await talk(stage, host, "11")
    await call_as(stage, host, "POST", "/_matrix/client/v3/rooms/{}/invite", room, json={"user_id": target})
    search = {"search_term": target, "limit": 50}
    path = "/_matrix/client/v3/user_directory/search"

    async def found() -> bool:
        return bool((await call_as(stage, host, "POST", path, json=search))["results"])

    await settled(found)
    shown = proxy.on(
        "POST", "/user_directory/search", answer(200, {"limited": False, "results": [{"user_id": target}]})
    )
    invited = proxy.on("GET", f"/users/.*{target[1:8]}.*/memberships", answer(200, {"memberships": {room: "invite"}}))
    removal = await begun(stage, f"!deactivate {target}")
    said = await removal.says("isn't finished")
    assert "✗ not found in the user directory" in said and "✗ no open invitation" in said
    shown.lift()
    invited.lift()
    outcome = await removal.done()
    assert "✓ not found in the user directory" in outcome and "✓ no open invitation" in outcome
    assert not await found()
    left = await stage.admin("GET", f"v1/users/{target}/memberships")
    assert set(left["memberships"].values()) == {"leave"}
