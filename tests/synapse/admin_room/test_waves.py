"""Waves on a real homeserver: the ways in, the review, who may confirm, and what becomes of each account."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import pytest

from removal.request import Request
from sandbox.proxy import Proxy, slow
from sandbox.proxy import answer as answer_with
from sandbox.scene import Scene
from storage.packing import unpack
from tests.support.admin_room import answer, read_only, untouched
from tests.support.waves import ask, asked, gone, spammers, upload

pytestmark = pytest.mark.slow

MakeScene = Callable[..., Awaitable[Scene]]


async def test_several_accounts_are_removed_by_one_decision(scene: MakeScene) -> None:
    """From the command to the outcome of each, read back from the homeserver; each is a request of its own."""
    stage = await scene()
    targets = await spammers(stage, 4)
    bystander = await stage.account("bystander")
    wave = await ask(stage, f"!deactivate {' '.join(targets)} --erase --reason spam wave")
    assert "Deactivate and erase 4 accounts?" in wave.prompt.body
    listed = await wave.file("list")
    assert {row["user_id"].lstrip("'") for row in listed} == set(targets)
    assert not any(value.startswith(("=", "+", "-", "@")) for row in listed for value in row.values())
    assert not any((await gone(stage, targets)).values())
    await wave.press()
    assert "4 of 4 accounts deactivated and erased" in await wave.ended()
    assert all((await gone(stage, targets)).values())
    assert await gone(stage, [bystander]) == {bystander: False}
    for target in targets:
        account = await stage.user(target)
        assert account["erased"]
        assert not account["suspended"]
    outcome = await wave.file("outcome")
    assert {row["outcome"] for row in outcome} == {"done"}
    assert len({row["request"] for row in outcome}) == 4
    assert all("deactivated" in row["proofs_held"] and not row["proofs_missing"] for row in outcome)
    status = await wave.answer(f"!status {{}} {targets[0]}")
    assert outcome[0]["request"] in status
    assert "verify" not in status or "✓" in status


@pytest.mark.parametrize("way", ["lines", "code block", "caption", "reply", "plain file"])
async def test_each_way_of_giving_a_list(scene: MakeScene, way: str) -> None:
    """Lines, a code block, a file with the command as its caption, and the command as a reply to a file."""
    stage = await scene()
    targets = await spammers(stage, 3)
    person = stage.moderator
    lines = "\n".join([*targets, "# a comment", "", targets[0], "nobody"])
    if way == "lines":
        wave = await ask(stage, f"!deactivate\n{lines}")
    elif way == "code block":
        wave = await ask(stage, f"!deactivate --erase\n```\n{lines}\n```")
    elif way == "reply":
        shown = await person.send(stage.room, "m.room.message", await upload(person, lines.encode(), "list.txt"))
        wave = await ask(stage, "!deactivate", reply_to=shown)
    else:
        content = await upload(person, lines.encode(), "list.txt", encrypted=way == "caption")
        said = await person.send(stage.room, "m.room.message", {**content, "body": "!deactivate --erase"})
        wave = await asked(stage, said)
    assert "3 accounts?" in wave.prompt.body
    assert "1 comment, 1 duplicate, 1 line without an account" in wave.prompt.body.replace("1 blank line, ", "")
    assert "nobody" in wave.prompt.body
    assert {user for user, state in wave.members().items() if state == "waiting"} == set(targets)
    await wave.press("❌")
    assert "cancelled" in (await wave.says("was cancelled")).body
    assert not any((await gone(stage, targets)).values())


async def test_who_isnt_removed_is_counted(scene: MakeScene) -> None:
    """Admins, moderators, protected, remote, unknown and gone accounts are left out, each with its reason."""
    stage = await scene(protected_users=["backup-*"])
    targets = await spammers(stage, 2)
    admin = await stage.account("boss", admin=True)
    protected = await stage.account("backup-x")
    dead = await stage.account("dead")
    await stage.admin("POST", f"v1/deactivate/{dead}", json={"erase": False})
    others = [admin, protected, dead, stage.bot_id, stage.moderator.user_id, "@x:elsewhere.org", "@none:lethe.test"]
    wave = await ask(stage, f"!deactivate {' '.join([*targets, *others])}")
    body = wave.prompt.body
    assert "2 accounts?" in body
    for reason in (
        "1 server admin", "1 protected by the settings", "1 already deactivated", "the bot itself", "your own account",
        "1 on another server", "1 unknown here",
    ):  # fmt: skip
        assert reason in body
    await wave.press()
    await wave.ended()
    assert all((await gone(stage, targets)).values())
    assert not any((await gone(stage, [admin, protected])).values())


async def test_a_second_moderator_and_the_number_are_asked_for(scene: MakeScene) -> None:
    """Neither the requester, nor a moderator invited after the prompt, nor a new one can be the second; and a wrong
    number does nothing."""
    stage = await scene(bulk={"other_moderator_above": 1, "type_number_above": 2, "moderator_for": "1s"})
    other = await stage.add_moderator("second")
    targets = await spammers(stage, 3)
    wave = await ask(stage, f"!deactivate {' '.join(targets)}")
    await wave.press()
    await wave.by.wait_for(lambda e: "moderator other than" in e.body and "changed nothing" in e.body)
    late = await stage.add_moderator("late")
    await wave.press(by=late)
    await wave.by.wait_for(lambda e: "must have been a moderator for at least" in e.body)
    assert wave.state == "awaiting_confirmation"
    await wave.press(by=other)
    await wave.says("Type the number")
    assert "changed nothing" in await wave.answer("4", by=other)
    assert wave.state == "awaiting_number"
    assert not any((await gone(stage, targets)).values())
    await wave.by.say(stage.room, "3")  # the requester's own doesn't count, and isn't even answered
    await other.say(stage.room, "3")
    await wave.ended()
    assert all((await gone(stage, targets)).values())


async def test_a_young_moderator_cant_be_the_second(scene: MakeScene) -> None:
    """By default it takes an hour."""
    stage = await scene(bulk={"other_moderator_above": 1})
    other = await stage.add_moderator("second")
    targets = await spammers(stage, 2)
    second, again = await other.log_in_again(), await stage.moderator.log_in_again()
    async with untouched(stage):
        wave = await ask(stage, f"!deactivate {' '.join(targets)}")
        await wave.press(by=second)
        await wave.by.wait_for(lambda e: "must have been a moderator for at least" in e.body)
        await wave.press(by=again)
        await wave.by.wait_for(lambda e: "moderator other than" in e.body and "changed nothing" in e.body)


async def test_exclude_changes_the_list_and_asks_anew(scene: MakeScene) -> None:
    """The prompt before counts no more."""
    stage = await scene()
    targets = await spammers(stage, 3)
    first = await ask(stage, f"!deactivate {' '.join(targets)}")
    await stage.moderator.say(stage.room, f"!exclude {first.reference} {targets[1]}")
    second = await first.says("2 accounts?")
    await first.press()
    assert "not on the list" in await first.answer(f"!exclude {{}} {targets[1]}")
    assert first.state == "awaiting_confirmation"
    await stage.moderator.react(stage.room, second.event_id, "✅")
    await first.ended()
    assert await gone(stage, targets) == {targets[0]: True, targets[1]: False, targets[2]: True}


async def test_who_is_excluded_on_several_lines_is_spared(scene: MakeScene) -> None:
    """A list under `!exclude` is as good as one line."""
    stage = await scene()
    targets = await spammers(stage, 4)
    wave = await ask(stage, f"!deactivate {' '.join(targets)}")
    await stage.moderator.say(stage.room, f"!exclude {wave.reference}\n{targets[0]}\n{targets[1]}\n{targets[2]}")
    prompt = await wave.says("1 account?")
    await stage.moderator.react(stage.room, prompt.event_id, "✅")
    await wave.ended()
    assert await gone(stage, targets) == {target: target == targets[3] for target in targets}


async def test_who_is_protected_after_the_prompt_is_left_alone(scene: MakeScene) -> None:
    """By the settings, by power in the admin room, or as a server admin; each is counted, and the file says why."""
    stage = await scene()
    targets = await spammers(stage, 4)
    wave = await ask(stage, f"!deactivate {' '.join(targets)}")
    stage.bot.configure(protected_users=[targets[0]])
    await stage.bot.restart()
    await stage.moderator.set_power(stage.room, targets[1], 50)
    await stage.admin("PUT", f"v1/users/{targets[2]}/admin", json={"admin": True})
    await wave.press()
    said = await wave.ended()
    assert "1 of 4" in said
    assert "3 were left alone" in said
    assert await gone(stage, targets) == {target: target == targets[3] for target in targets}
    because = {row["user_id"].lstrip("'"): row["because"] for row in await wave.file("outcome")}
    assert [because[target] for target in targets] == ["protected", "moderator", "server_admin", ""]


async def test_who_is_protected_while_a_wave_goes_on_is_set_free(scene: MakeScene, proxy: Proxy) -> None:
    """An account that is suspended already, and named in the settings at a restart, isn't deactivated where that hasn't
    begun."""
    slow_one = proxy.on("POST", "/deactivate/", slow(3.0))
    stage = await scene(homeserver={"url": proxy.base_url}, bulk={"other_moderator_above": 1000})
    targets = await spammers(stage, 16)
    wave = await ask(stage, f"!deactivate {' '.join(targets)}")
    await wave.press()
    await slow_one.hit()
    await stage.bot.stop()
    # What was begun and not asked for when the bot stopped counts as begun.
    rows = read_only(stage.bot.database, "SELECT target_id, data FROM requests")
    begun = {target for target, data in rows if Request.from_dict(unpack(data)).began_final_step}
    spared = next(each for each in targets if each not in begun)
    assert (await stage.user(spared))["suspended"]
    stage.bot.configure(protected_users=[spared])
    slow_one.lift()
    await stage.bot.start()
    await wave.ended()
    assert await gone(stage, targets) == {target: target != spared for target in targets}
    assert not (await stage.user(spared))["suspended"]


async def test_a_list_that_cant_be_uploaded_is_asked_about_all_the_same(scene: MakeScene, proxy: Proxy) -> None:
    """A proxy that takes no file of this size: people are told, and nothing waits for ever."""
    proxy.on("PUT", "/media/v3/upload/", answer_with(413, "<html>too large</html>"))
    stage = await scene(homeserver={"url": proxy.base_url})
    targets = await spammers(stage, 2)
    wave = await ask(stage, f"!deactivate {' '.join(targets)}")
    assert "!receipt" in (await wave.says("couldn't be uploaded")).body
    await wave.press()
    assert "2 of 2" in await wave.ended()


async def test_a_search_that_the_homeserver_refuses_ends(scene: MakeScene) -> None:
    """With what it said, instead of looking for ever."""
    stage = await scene()
    nobody = await answer(stage, "!deactivate --ip-of @somebody:elsewhere.org")
    refused = await stage.moderator.reply_to(nobody.replies_to or "", containing="Nothing was done")
    assert "The homeserver doesn't give me the accounts" in refused.body


async def test_an_account_that_cant_be_looked_at_stops_no_other(scene: MakeScene, proxy: Proxy) -> None:
    """It is left out, counted and named."""
    stage = await scene(homeserver={"url": proxy.base_url})
    targets = await spammers(stage, 3)
    proxy.on("GET", f"/v2/users/{quote(targets[1], safe='')}", answer_with(500, {"errcode": "M_UNKNOWN"}))
    wave = await ask(stage, f"!deactivate {' '.join(targets)}")
    assert "2 accounts?" in wave.prompt.body
    assert "1 that the homeserver fails to show" in wave.prompt.body
    assert wave.members()[targets[1]] == "refused"


async def test_several_waves_stay_below_the_cap_together(scene: MakeScene) -> None:
    """The second one needs another moderator although the first has hardly begun."""
    stage = await scene(moderators={"max_removals_per_hour": 5})
    first = await ask(stage, f"!deactivate {' '.join(await spammers(stage, 3))}")
    second = await ask(stage, f"!deactivate {' '.join(await spammers(stage, 3))}")
    await first.press()
    await second.press()
    await second.by.wait_for(lambda e: second.reference in e.body and "moderator other than" in e.body)
    assert second.state == "awaiting_confirmation"


async def test_the_servers_own_list(scene: MakeScene, fresh_homeserver: Callable[..., Awaitable[Any]]) -> None:
    """By name, time, rooms, messages and addresses, combined; half the server is refused with the number."""
    stage = await scene(on=await fresh_homeserver())
    targets = await spammers(stage, 3)
    for _ in range(12):
        await stage.account("good")
    room = await stage.moderator.create_room(preset="public_chat")
    joined = f"/_matrix/client/v3/join/{room}"
    for target in targets[:2]:
        await stage.homeserver.call("POST", joined, token=stage.tokens[target], json={})
    spam = {"msgtype": "m.text", "body": "spam"}
    path = f"/_matrix/client/v3/rooms/{room}/send/m.room.message/1"
    await stage.homeserver.call("PUT", path, token=stage.tokens[targets[0]], json=spam)

    async def listed(options: str) -> list[str]:
        wave = await ask(stage, f"!deactivate {options}")
        return sorted(user for user, state in wave.members().items() if state == "waiting")

    assert await listed("--match 'spam-*'") == targets
    assert await listed("--match 'spam-*' --registered-after 2h --never-joined") == targets[2:]
    assert await listed("--match 'spam-*' --no-messages") == targets[1:]
    assert set(targets[:2]) <= set(await listed(f"--match 'spam-*' --ip-of {targets[0]}")) | {targets[0]}
    nobody = await answer(stage, "!deactivate --match 'spam-*' --registered-before 2026-01-01")
    assert "looking" in nobody.body
    assert (
        "no account matches"
        in (await stage.moderator.reply_to(nobody.replies_to or "", containing="Nothing was done")).body
    )
    half = await answer(stage, "!deactivate --match '*'")
    refused = await stage.moderator.reply_to(half.replies_to or "", containing="more than half")
    assert "That matches 17 of the 17 accounts" in refused.body


async def test_files_made_to_hurt_are_refused(scene: MakeScene) -> None:
    """Each with what was wrong; nothing is opened."""
    stage = await scene()
    person = stage.moderator
    target = (await spammers(stage, 1))[0]
    files = {
        "larger than 5 MB": (b"x" * 10_000_000, "list.csv"),
        "isn't text": (bytes(range(256)) * 4, "list.csv"),
        "Line 2 is longer": (f"{target}\n".encode() + b"x" * 1_000_000, "list.csv"),
        "isn't UTF-8": (f"{target}\nä".encode("latin-1"), "list.csv"),
        "has 20001 lines": (f"{target}\n".encode() * 20_001, "list.csv"),
        "42.zip": (target.encode(), "42.zip"),
        "No line of it names an account": (b"=HYPERLINK(1)\n+1", "list.csv"),
    }
    async with untouched(stage):
        for words, (data, name) in files.items():
            content = await upload(person, data, name)
            said = await person.send(stage.room, "m.room.message", {**content, "body": "!deactivate"})
            assert words in (await person.reply_to(said)).body
        lying = {**await upload(person, b"x" * 10_000_000, "list.csv"), "info": {"size": 5}}
        said = await person.send(stage.room, "m.room.message", {**lying, "body": "!deactivate"})
        assert "larger than 5 MB" in (await person.reply_to(said)).body
        forged = await upload(person, target.encode(), "list.csv")
        forged["file"]["hashes"]["sha256"] = "A" * 43
        said = await person.send(stage.room, "m.room.message", {**forged, "body": "!deactivate"})
        assert "can't be decrypted" in (await person.reply_to(said)).body
