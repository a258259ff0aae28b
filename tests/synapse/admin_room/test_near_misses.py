"""What moderators type that is nearly right: never guessed, and the answer has what to type instead."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from sandbox.homeserver import Homeserver
from sandbox.scene import Scene
from tests.support.admin_room import answer, prompt, untouched

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Stage(Scene):
    """The scene that the tests here share: none of them removes anybody."""

    spammer: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(homeserver: Homeserver) -> AsyncIterator[Stage]:
    """An encrypted admin room, and somebody to remove."""
    made = Stage(homeserver)
    try:
        await made.set_up()
        made.spammer = await made.account("spammer")
        yield made
    finally:
        await made.close()


NEARLY: dict[str, Callable[[str], str]] = {
    "comma": lambda user: f"{user},",
    "full_stop": lambda user: f"{user}.",
    "angle_brackets": lambda user: f"<{user}>",
    "no_at": lambda user: user[1:],
    "name_only": lambda user: user[1:].partition(":")[0],
    "short_with_comma": lambda user: user.partition(":")[0] + ",",
    "like_an_address": lambda user: user[1:].replace(":", "@"),
    "server_in_capitals": lambda user: user.partition(":")[0] + ":LETHE.TEST",
    "full_width": lambda user: user.replace("@", "＠").replace(":", "："),
    "link_without_https": lambda user: f"matrix.to/#/{user}",
}


@pytest.mark.parametrize("nearly", NEARLY)
async def test_a_near_miss_is_asked_back_and_the_answer_works(stage: Stage, nearly: str) -> None:
    """Nothing is asked for; the Matrix ID that the answer shows, copied, opens the prompt."""
    async with untouched(stage):
        said = await answer(stage, f"!deactivate {NEARLY[nearly](stage.spammer)} --erase")
    assert f"Did you mean {stage.spammer}?" in said.body
    assert f"<code>{stage.spammer}</code>" in said.formatted_body
    assert "another server" not in said.body


async def test_what_the_answer_shows_opens_the_prompt(stage: Stage) -> None:
    """Copied as it stands there."""
    said = await answer(stage, f"!deactivate {stage.spammer}. --erase")
    copied = said.formatted_body.partition("Did you mean <code>")[2].partition("</code>")[0]
    assert stage.spammer in (await prompt(stage, f"!deactivate {copied} --erase")).body


@pytest.mark.parametrize("command", ["delete", "remove", "ban", "erase", "gdpr", "delete-user", "DELETE"])
async def test_a_word_that_means_the_command_names_it(stage: Stage, command: str) -> None:
    """With and without somebody behind it, and as the word that help is asked for."""
    async with untouched(stage):
        for body in (f"!{command} {stage.spammer}", f"!help {command}"):
            assert "Did you mean !deactivate?" in (await answer(stage, body)).body


async def test_a_reason_behind_an_equals_sign_needs_no_quotation_marks(stage: Stage) -> None:
    """It goes up to the next option, as behind a space."""
    shown = await prompt(stage, f"!deactivate {stage.spammer} --reason=spam in three rooms --erase")
    assert "Reason: spam in three rooms\n" in f"{shown.body}\n" and "Deactivate and erase" in shown.body
