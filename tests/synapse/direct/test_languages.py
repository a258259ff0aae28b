"""A leaving person reads everything in the language that they chose, to the last word; the moderators read theirs."""

from __future__ import annotations

import re

from tests.support.direct_room import MakeScene, Talk, states
from tests.support.in_process_bot import DAY, HOUR, MakeInside
from tests.synapse.conftest import settled


async def test_the_whole_way_in_german(inside: MakeInside) -> None:
    """The explanation, the date, the reminder after a restart, the farewell. The admin room stays English."""
    stage, bot = await inside(self_service={"grace_period": "7d"})
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    await talk.ask("!language klingonisch", "I don't speak klingonisch")
    await talk.ask("!language Deutsch", "Von jetzt an schreibe ich dir auf Deutsch")
    await talk.say("!deactivate --erase --keep-media")
    await talk.react(await talk.hears("Niemand kann deine ID wieder nutzen"), "✅")
    await talk.hears("Bitte tippe zur Bestätigung deine vollständige Matrix-ID")
    await talk.say(person.user_id)
    date = await talk.hears("Bis dahin funktioniert es wie gewohnt")
    assert re.search(r"(Montag|Dienstag|Mittwoch|Donnerstag|Freitag|Samstag|Sonntag), \d", date.body)
    await stage.moderator.wait_for(lambda e: "is removing their own account" in e.body)
    await bot.stop()
    await bot.start()
    await bot.pass_time(6 * DAY + HOUR)
    await talk.hears("Erinnerung: Dein Konto")
    await bot.pass_time(DAY)
    farewell = await talk.hears("Die Entfernung deines Kontos beginnt jetzt")
    assert "Erasing" not in farewell.body and "Your" not in farewell.body

    async def done() -> bool:
        return states(stage) == ["done"]

    await settled(done)
    receipt = await stage.moderator.wait_for(lambda e: e.room_id == stage.room and "Read back" in e.body)
    assert "Konto" not in receipt.body


async def test_the_settings_say_what_is_spoken_first(scene: MakeScene) -> None:
    """`language` is the moderators', and a person's until they choose one."""
    stage = await scene(language="fr", self_service={"grace_period": "7d"})
    said = await stage.moderator.say(stage.room, "!help")
    await stage.moderator.reply_to(said, containing="supprime")
    talk = await Talk.begin(stage, await stage.person("leaver"), greeting="Bonjour")
    await talk.ask("!help", "supprimer votre compte")
    await talk.ask("!language en", "From now on I write to you in English")
    await talk.ask("!help", "I can remove your account")
