"""What people type in a direct message that is nearly right: the answer has what to type instead."""

from __future__ import annotations

import pytest

from tests.support.direct_room import MakeScene, Talk, states


async def test_words_that_mean_the_command_name_it(scene: MakeScene) -> None:
    """`!delete` and its like are answered with the word to type."""
    stage = await scene()
    talk = await Talk.begin(stage, await stage.person("leaver"))
    for word in ("delete", "remove", "ban", "erase", "gdpr"):
        assert "!deactivate" in (await talk.ask(f"!{word}")).body
    assert states(stage) == []


@pytest.mark.parametrize("command", ["!deactivate", "!mydata"])
async def test_a_matrix_id_that_is_nearly_right_is_asked_for_again(scene: MakeScene, command: str) -> None:
    """It doesn't count, and the answer shows what to send; that counts."""
    stage = await scene()
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    if command == "!deactivate":
        await talk.agreed()
    else:
        await talk.ask(command, "type your full Matrix ID")
    for typed in (f"{person.user_id}.", person.user_id[1:], person.user_id.partition(":")[0], f"<{person.user_id}>"):
        said = await talk.ask(typed, "Almost")
        assert f"<code>{person.user_id}</code>" in said.formatted_body
    assert "isn't your Matrix ID" in (await talk.ask("@somebody-else:lethe.test")).body
    assert states(stage) == (["awaiting_matrix_id"] if command == "!deactivate" else [])
    await talk.say(person.user_id)
    await talk.hears("will be removed on" if command == "!deactivate" else "Here is your data")


async def test_a_successor_that_is_nearly_right_is_asked_back(scene: MakeScene) -> None:
    """`!handover` reads Matrix IDs like every command."""
    stage = await scene()
    talk = await Talk.begin(stage, await stage.person("leaver"))
    said = await talk.ask("!handover #garden:lethe.test @friend:lethe.test,")
    assert "Did you mean @friend:lethe.test?" in said.body
