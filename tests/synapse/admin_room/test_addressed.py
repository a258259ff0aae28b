"""Commands that are given to the bot by name, as real clients write it, in the admin room and in a direct message."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sandbox.scene import Scene
from tests.support.admin_room import answer, pill, prompt, silence, untouched
from tests.support.direct_room import MakeScene, Talk

NAME = "Lethe the bot"


async def _named(stage: Scene) -> None:
    path = f"/_matrix/client/v3/profile/{stage.bot_id}/displayname"
    await stage.homeserver.call("PUT", path, token=stage.tokens[stage.bot_id], json={"displayname": NAME})


ADDRESSED: tuple[Callable[[str, str], tuple[str, str | None]], ...] = (
    lambda bot, said: (f"{NAME}: {said}", f"{pill(bot, NAME)}: {said}"),  # Element, SchildiChat
    lambda bot, said: (f"{NAME} {said}", f"<p>{pill(bot, '@' + NAME)} {said}</p>"),
    lambda bot, said: (f"[{NAME}](https://matrix.to/#/{bot}) {said}", f"{pill(bot, NAME)} {said}"),  # Element X
    lambda bot, said: (f"{NAME}: {said}", None),
    lambda bot, said: (f"@{NAME}, {said}", None),
    lambda bot, said: (f"{bot}: {said}", None),
    lambda bot, said: (f"{bot.partition(':')[0]} {said}", None),
    lambda bot, said: (f"{bot[1:].partition(':')[0]}: {said}", None),
    lambda bot, said: (f"{bot.partition(':')[0]} {said.replace('!', '')}", None),
    lambda bot, said: (said.replace("!", "！"), None),
    lambda bot, said: (said.replace("!", "! "), None),
)


@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])
async def test_moderators_are_understood_by_name_and_the_gates_stay(scene: MakeScene, encrypted: bool) -> None:
    """Each way opens the prompt that the command alone opens; members without the right are refused in the same words;
    a name in the middle of a sentence, or talk to the bot, gets no answer."""
    stage = await scene(encrypted=encrypted)
    await _named(stage)
    target = await stage.account("spammer")
    for write in ADDRESSED:
        body, html = write(stage.bot_id, f"!deactivate {target} --erase")
        assert target in (await prompt(stage, body, html)).body
    assert "Did you mean !deactivate?" in (await answer(stage, f"{NAME}: delete {target}")).body
    member = await stage.add_moderator("member", level=0)
    async with untouched(stage):
        for write in ADDRESSED[:4]:
            body, html = write(stage.bot_id, f"!deactivate {target}")
            assert "moderator" in (await answer(stage, body, html, by=member)).body
        async with silence(stage) as said:
            for body in (f"should {NAME} !deactivate {target}?", f"{NAME}: thanks", f"{NAME} is slow", "! important"):
                said.append(await stage.moderator.say(stage.room, body))


async def test_people_are_understood_by_name(scene: MakeScene) -> None:
    """In a direct message, the command, a wish in one's own words, and what stops it."""
    stage = await scene()
    await _named(stage)
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    assert "!deactivate" in (await talk.ask(f"{NAME}: please delete my account")).body
    for write in ADDRESSED:
        body, html = write(stage.bot_id, "!help")
        assert "!deactivate" in (await talk.ask(body, formatted_body=html)).body
    await talk.shown(f"{NAME}: !deactivate --erase --keep-media")
    await talk.say(f"{stage.bot_id.partition(':')[0]}: cancel")
    await talk.hears("stopped")
