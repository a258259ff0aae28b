"""Attacks that need a stage of their own: everything said twice, made-up times, keys that never come."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from sandbox.homeserver import Homeserver
from sandbox.proxy import Proxy, changing
from sandbox.scene import Scene
from tests.support.admin_room import answer, prompt, read_only, untouched
from tests.support.crafted_messages import group_session, text
from tests.support.hostile_stage import HELPED, Hostile, attacked, replies, spoken
from tests.support.in_process_bot import Inside
from tests.synapse.conftest import settled

MakeScene = Callable[..., Awaitable[Scene]]


class Stutter:
    """Makes every sync bring everything said so far in each room again, each new event twice."""

    def __init__(self) -> None:
        self._said: dict[str, list[Any]] = defaultdict(list)
        self.repeated = 0

    def __call__(self, answered: dict[str, Any]) -> None:
        for room_id, room in answered.get("rooms", {}).get("join", {}).items():
            timeline = room.get("timeline", {})
            new = timeline.get("events", [])
            timeline["events"] = [*self._said[room_id], *new, *new]
            self.repeated += len(self._said[room_id]) + len(new)
            self._said[room_id] += new


async def test_what_comes_twice_acts_once(scene: MakeScene, homeserver: Homeserver) -> None:
    """Where each sync repeats all events again and again, a command is answered once, a ✅ confirms once, and the
    removal runs once; over a restart too."""
    async with Proxy(homeserver.base_url) as proxy:
        stutter = Stutter()
        proxy.on("*", r"/sync(\?|$)", changing(stutter))
        stage = await scene(homeserver={"url": proxy.base_url})
        target = await stage.account("target")
        command = await stage.moderator.say(stage.room, f"!deactivate {target}")
        shown = await stage.moderator.reply_to(command)
        await stage.moderator.react(stage.room, shown.event_id, "✅")
        await stage.moderator.edited(shown.event_id, "· done")
        await stage.bot.restart()
        help_id = await stage.moderator.say(stage.room, "!help")
        await stage.moderator.reply_to(help_id)
        assert HELPED in (await answer(stage, "!help")).body
        said = [event.replies_to for event in stage.moderator.timeline.events if event.sender == stage.bot_id]
        assert said.count(help_id) == 1
        question = "SELECT action, COUNT(*) FROM audit GROUP BY action"
        actions = dict(read_only(stage.bot.database, question))
        assert (actions["Requested"], actions["Confirmed"]) == (1, 1)
        assert "ConfirmedRefused" not in actions, "a repeated ✅ was looked at again"
        assert stutter.repeated > 20
        await stage.bot.stop()


# --- made-up times ---------------------------------------------------------------------------------------------------

TOKEN = "application-service"


@pytest_asyncio.fixture
async def bridged(tmp_path: Path) -> AsyncIterator[Homeserver]:
    """A homeserver with an application service: it may send events with any time it likes."""
    registration = {
        "id": "bridge", "url": None, "as_token": TOKEN, "hs_token": "hs-token", "sender_localpart": "bridge",
        "rate_limited": False, "namespaces": {"users": [{"regex": "@bridge_.*", "exclusive": True}]},
    }  # fmt: skip
    file = tmp_path / "bridge.yaml"
    file.write_text(yaml.safe_dump(registration))
    async with Homeserver(config={"app_service_config_files": [str(file)]}) as running:
        yield running


async def test_made_up_times_confirm_nothing(scene: MakeScene, bridged: Homeserver) -> None:
    """A moderator's events carry times long ago or far ahead: a command acts once, whenever it says to be sent; a ✅
    dated back to before the end of a prompt doesn't bring that back, and one from the future is too late."""
    stage = await scene(on=bridged, encrypted=False, confirmation={"expires_after": "3s"})
    puppet = bridged.user_id("bridge_moderator")
    body = {"type": "m.login.application_service", "username": "bridge_moderator", "inhibit_login": True}
    await bridged.call("POST", "/_matrix/client/v3/register", token=TOKEN, json=body)
    await stage.moderator.invite(stage.room, puppet)
    as_puppet = {"user_id": puppet}
    await bridged.call("POST", f"/_matrix/client/v3/join/{stage.room}", token=TOKEN, json={}, params=as_puppet)
    await stage.moderator.set_power(stage.room, puppet, 50)

    async def send(kind: str, content: dict[str, Any], ts: int, txn: str) -> str:
        path = f"/_matrix/client/v3/rooms/{stage.room}/send/{kind}/{txn}"
        params = {**as_puppet, "ts": str(ts)}
        return str((await bridged.call("PUT", path, token=TOKEN, json=content, params=params))["event_id"])

    target = await stage.account("target")
    async with untouched(stage):
        help_id = await send("m.room.message", {"msgtype": "m.text", "body": "!help"}, 1, "help")
        assert HELPED in (await stage.moderator.reply_to(help_id)).body

    for number, shift in enumerate((10**12, -1_000)):
        shown = await prompt(stage, f"!deactivate {target}")
        if shift < 0:
            await stage.moderator.edited(shown.event_id, "expired")
        relation = {"rel_type": "m.annotation", "event_id": shown.event_id, "key": "✅"}
        ts = shown.origin_server_ts + shift if shift > 0 else shown.origin_server_ts + 1_000
        mark = await send("m.reaction", {"m.relates_to": relation}, ts, f"mark-{number}")
        assert "expired" in (await stage.moderator.reply_to(mark)).body
        await stage.moderator.edited(shown.event_id, "expired")
    assert not (await stage.user(target))["deactivated"]
    assert HELPED in (await answer(stage, "!help")).body


# --- keys that never come --------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_what_stays_unreadable_is_said_once(homeserver: Homeserver) -> None:
    """Messages whose key never arrives are kept, read when the key does come, and after a minute their sender is asked
    once to send it again, however many there are."""
    stage = Hostile(homeserver)
    await stage.set_up(start=False)
    inside = Inside(stage)
    try:
        await inside.start()
        await stage.people_come()
        crafter = await stage.crafter(stage.moderator)
        late, never = group_session(), group_session()
        key = late.session_key
        kept = await crafter.say(late, stage.room, text("!help"))
        lost = [await crafter.say(never, stage.room, text(f"!deactivate {stage.target}")) for _ in range(20)]
        async with attacked(stage):
            await crafter.send_key(stage.room, late, key=key)
            assert HELPED in (await stage.moderator.reply_to(kept)).body
            assert not [event for event in spoken(stage) if "never arrived" in event.body]
            await inside.pass_time(61_000)
            await stage.moderator.wait_for(lambda event: "never arrived" in event.body)
            await answer(stage, "!help")
            assert sum(len(replies(stage, event_id)) for event_id in lost) == 1
    finally:
        await inside.close()
        await stage.close()


async def test_a_person_is_told_too_that_a_message_could_not_be_read(homeserver: Homeserver) -> None:
    """In a direct message it's the same: after a minute the person is asked to send it again."""
    stage = Hostile(homeserver)
    await stage.set_up(start=False)
    inside = Inside(stage)
    try:
        await inside.start()
        person = await stage.person("person")
        room = await person.dm(stage.bot_id)
        await person.wait_for(lambda e: e.room_id == room and "I am Lethe" in e.body)
        crafter = await stage.crafter(person)
        lost = await crafter.say(group_session(), room, text("!deactivate"))
        await settled(lambda: _is_kept(stage, lost))
        await inside.pass_time(61_000)
        assert "never arrived" in (await person.reply_to(lost)).body
    finally:
        await inside.close()
        await stage.close()


async def _is_kept(stage: Scene, event_id: str) -> bool:
    rows = read_only(stage.bot.database, "SELECT status FROM inbox WHERE event_id = ?", event_id)
    return rows == [("undecryptable",)]
