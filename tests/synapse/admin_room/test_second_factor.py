"""A second factor: ✅ in the room is one half, a code in the direct message the other; nothing gets round it."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable

import pyotp

from sandbox.client import Person
from sandbox.scene import Scene
from tests.support.admin_room import answer, audited, read_only, untouched
from tests.support.direct_room import Talk
from tests.support.prompts import OPEN, prompted

MakeScene = Callable[..., Awaitable[Scene]]
TOTP = {"confirmation": {"second_factor": "totp"}}


class Phone:
    """An authenticator app that a moderator has added the bot's seed to. Each code is of a later step."""

    def __init__(self, talk: Talk, seed: str) -> None:
        self.talk = talk
        self._totp = pyotp.TOTP(seed)
        self._step = 0

    def code(self) -> str:
        """A code that counts: the earliest one that wasn't shown yet."""
        now = int(time.time()) // 30
        self._step = max(self._step + 1, now - 1)
        assert self._step <= now + 1, "no further code counts now"
        return self._totp.generate_otp(self._step)


async def phone(stage: Scene, person: Person) -> Phone:
    """The person sets a second factor up, as one does."""
    talk = await Talk.begin(stage, person)
    await talk.say("!totp")
    handed = await talk.hears("authenticator app")
    found = re.search(r"\b[A-Z2-7]{32}\b", handed.body)
    assert found is not None and "otpauth://totp/" in handed.body
    app = Phone(talk, found.group())
    assert "That code is wrong" in (await talk.ask("000000")).body
    assert "is set up" in (await talk.ask(app.code())).body
    await stage.moderator.wait_for(
        lambda e: e.sender == stage.bot_id and f"{person.user_id} has set up a second factor" in e.body
    )
    await person.wait_for(lambda e: e.type == "m.room.redaction" and e.sender == stage.bot_id, what="the redaction")
    return app


async def test_a_removal_takes_a_code(scene: MakeScene) -> None:
    """Without a factor ✅ confirms nothing; with one, the code in the direct message does. In the room it doesn't, a
    used one doesn't, and the seed stands nowhere in clear."""
    stage = await scene(**TOTP)
    prompt = await prompted(stage, await stage.account("spammer"))
    await prompt.react("✅")
    await stage.moderator.wait_for(lambda e: e.sender == stage.bot_id and "you have none yet" in e.body)
    assert OPEN in await prompt.status()
    app = await phone(stage, stage.moderator)
    prompt = await prompted(stage, await stage.account("spammer"))
    await prompt.react("✅")
    asked = await app.talk.hears("You confirmed")
    assert prompt.reference in asked.body and prompt.target in asked.body
    assert OPEN in await prompt.status()
    seen = app.code()
    assert "doesn't count any more" in (await answer(stage, seen)).body
    assert "was used before" in (await app.talk.ask(seen)).body
    assert OPEN in await prompt.status() and not await prompt.gone()
    right = app.code()
    await app.talk.say(right)
    assert "✗" not in await prompt.hears("Read back")
    assert await prompt.gone()
    assert "Nothing is waiting" in (await app.talk.ask(right)).body
    assert [row["because"] for _, _, row in audited(stage, "CodeRefused")] == ["wrong", "in_room", "used"]
    stored = read_only(stage.bot.database, "SELECT seed FROM second_factors")[0][0]
    assert app._totp.secret not in stored and app._totp.secret.encode() not in stage.bot.database.read_bytes()
    key = stage.bot.data_dir / "second_factor.key"
    assert key.stat().st_mode & 0o777 == 0o600


async def test_wrong_codes_close_the_door_and_another_moderator_opens_it(scene: MakeScene) -> None:
    """Five wrong ones: even a right one counts no more for an hour, and the room hears of it. Another moderator resets
    the factor by a code of their own; nobody resets their own."""
    stage = await scene(**TOTP)
    second = await stage.add_moderator()
    mine = await phone(stage, stage.moderator)
    theirs = await phone(stage, second)
    prompt = await prompted(stage, await stage.account("bystander"))
    await prompt.react("✅")
    await mine.talk.hears("You confirmed")
    async with untouched(stage):
        for number in range(5):
            assert "wrong" in (await mine.talk.ask(f"00000{number}")).body
        await second.wait_for(lambda e: e.sender == stage.bot_id and "Several wrong codes" in e.body)
        await stage.bot.restart()
        assert "Try again in an hour" in (await mine.talk.ask(mine.code())).body
        assert "not you" in (await answer(stage, f"!totp-reset {stage.moderator.user_id}")).body
        reset = await answer(stage, f"!totp-reset {stage.moderator.user_id}", by=second)
        assert "almost" in reset.body
        await theirs.talk.hears("You confirmed")
        await theirs.talk.say(theirs.code())
        await second.wait_for(lambda e: e.sender == stage.bot_id and "reset the second factor" in e.body)
        assert audited(stage, "FactorReset")[0][:2] == (second.user_id, stage.moderator.user_id)
        assert "you have none yet" in (await mine.talk.ask("000000")).body
    assert not await prompt.gone()


async def test_approvals_and_waves_take_a_code_too(scene: MakeScene) -> None:
    """`!approve`, and ✅ under a wave's prompt."""
    stage = await scene(confirmation={"second_factor": "totp"}, self_service={"approval": "moderator"})
    app = await phone(stage, stage.moderator)
    leaver = await stage.person("leaver")
    talk = await Talk.begin(stage, leaver)
    await talk.confirmed("!deactivate --erase --keep-media", then="moderator")
    assert "almost" in (await answer(stage, "!approve R1")).body
    assert "waiting for approval" in (await answer(stage, "!status R1")).body
    targets = [await stage.account("many") for _ in range(2)]
    await stage.moderator.say(stage.room, "!deactivate " + " ".join(targets))
    card = await stage.moderator.wait_for(lambda e: e.sender == stage.bot_id and "Deactivate 2 accounts" in e.body)
    await stage.moderator.reacted(card.event_id, "✅", by=stage.bot_id)
    await stage.moderator.react(stage.room, card.event_id, "✅")
    await app.talk.hears("You confirmed B1")
    code = app.code()
    assert "which one you mean" in (await app.talk.ask(code)).body
    for target in targets:
        assert (await stage.user(target))["deactivated"] is False
    await app.talk.say(f"B1 {code}")
    await stage.moderator.edited(card.event_id, "done", timeout=60)
    await app.talk.ask(app.code(), "approved")
    assert "waiting for approval" not in (await answer(stage, "!status R1")).body


async def test_who_gets_no_seed(scene: MakeScene) -> None:
    """Where the conversation isn't encrypted; moderators get in although self-service is off."""
    stage = await scene(confirmation={"second_factor": "totp"}, self_service={"enabled": False})
    talk = await Talk.begin(stage, stage.moderator, encrypted=False)
    assert "needs an encrypted direct message" in (await talk.ask("!totp")).body
    assert read_only(stage.bot.database, "SELECT COUNT(*) FROM second_factors") == [(0,)]
    await phone(stage, stage.moderator)


async def test_without_the_key_the_bot_does_not_start(scene: MakeScene) -> None:
    """The key is gone: the bot says so, instead of making a new one that opens nothing. The command line resets."""
    stage = await scene(**TOTP)
    await phone(stage, stage.moderator)
    await stage.bot.stop()
    key = stage.bot.data_dir / "second_factor.key"
    key.unlink()
    code, output = await stage.bot.command("run")
    assert code == 1 and "second_factor.key" in output and "reset-totp" in output
    code, output = await stage.bot.command("reset-totp", stage.moderator.user_id)
    assert code == 0 and "is reset" in output
    await stage.bot.start()
    assert audited(stage, "FactorReset")[0][1] == stage.moderator.user_id
