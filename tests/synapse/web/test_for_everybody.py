"""The page for everybody: screen readers, the keyboard alone, phones, dark rooms, and no JavaScript."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sandbox.node import DIRECTORY
from tests.support.browser import Visit, Visitor, found_link, page_settings
from tests.support.direct_room import SCHEDULED, MakeScene, Talk, states

AXE = DIRECTORY / "node_modules" / "axe-core" / "axe.min.js"


async def findings(visitor: Visitor) -> list[str]:
    """What axe-core finds wrong with the page that is shown, everything unfolded."""
    found: dict[str, Any] = await visitor.page.evaluate(
        "async () => { document.querySelectorAll('details').forEach(each => { each.open = true });"
        "return await axe.run(document, {resultTypes: ['violations', 'incomplete']}) }"
    )
    # What axe-core can't decide by itself, it shows as incomplete: nothing may stay open either.
    return [
        f"{rule['id']}: {node['html']}: {node['failureSummary']}"
        for rule in (*found["violations"], *found["incomplete"])
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
async def test_axe_finds_nothing(scene: MakeScene, visit: Visit, width: int, scheme: str) -> None:
    """On every page from the first to the last, and on one that says what went wrong; nor is any wider than its
    window."""
    if not AXE.is_file():
        pytest.skip("axe-core isn't installed: `make js` does it")
    smtp = {"host": "mail.example.org", "from_address": "lethe@example.org"}  # where nothing is sent
    stage = await scene(self_service=page_settings(), receipt={"smtp": smtp})
    person = await stage.account("leaver")
    # axe-core is a script, which the page's own policy would refuse: only this browser leaves that policy alone.
    visitor = await visit(
        stage, javascript=True, bypass_csp=True, viewport={"width": width, "height": 844}, color_scheme=scheme
    )
    await visitor.context.add_init_script(Path(AXE).read_text("utf-8"))  # noqa: ASYNC240 - once, and small

    async def looks_well() -> None:
        await visitor.page.wait_for_load_state("load")  # a page without its style yet is black on white, or worse
        assert await findings(visitor) == [], visitor.page.url
        wide = await visitor.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, visitor.page.url

    await visitor.open()
    await looks_well()
    await visitor.press("Delete my account")
    await looks_well()
    await visitor.log_in(person, "a wrong password")
    await visitor.reads("accept this log-in")
    await looks_well()
    await visitor.press("Back")
    await visitor.log_in(person, stage.passwords[person])
    await visitor.reads("You are logged in as")
    await looks_well()
    await visitor.choose()
    await looks_well()
    await visitor.press("Yes, delete my account")
    await visitor.reads("Your account will be removed on")
    await looks_well()
    await visitor.press("Stop it, and keep my account")
    await visitor.reads("It was stopped")
    await looks_well()


async def test_the_keyboard_alone_is_enough(scene: MakeScene, visit: Visit) -> None:
    """From the first page to a confirmed request with Tab, space, the arrows and Enter; what has the focus is seen."""
    stage = await scene(self_service=page_settings())
    person = await stage.account("leaver")
    visitor = await visit(stage, javascript=True)
    keyboard = visitor.page.keyboard

    async def tab_to(label: str) -> None:
        for _ in range(20):
            await keyboard.press("Tab")
            focused = await visitor.page.evaluate(
                "(() => { const it = document.activeElement;"
                "return {name: (it.labels && it.labels[0] || it).innerText,"
                "outline: getComputedStyle(it).outlineStyle} })()"
            )
            if label in focused["name"]:
                assert focused["outline"] != "none"
                return
        raise AssertionError(f"{label} isn't reached, the last was {json.dumps(focused)}")

    await visitor.open()
    await tab_to("Delete my account")
    await keyboard.press("Enter")
    await visitor.reads("Log in")
    await tab_to("Matrix ID or user name")
    await keyboard.type(person)
    await tab_to("Password")
    await keyboard.type(stage.passwords[person])
    await keyboard.press("Enter")
    await visitor.reads("You are logged in as")
    await tab_to("Yes, erase it")
    await keyboard.press("Space")
    await tab_to("Show me what happens")
    await keyboard.press("Enter")
    await visitor.reads("Delete this account?")
    await tab_to("Yes, delete my account")
    await keyboard.press("Enter")
    await visitor.reads("Your account will be removed on")
    assert states(stage) == ["scheduled"]


async def test_either_proof_is_enough(scene: MakeScene, visit: Visit) -> None:
    """`self_service.proof: either`: the question for the Matrix ID has a link to the page too, and each answers it."""
    stage = await scene(self_service=page_settings(proof="either"))
    for by_link in (True, False):
        person = await stage.person("leaver")
        talk = await Talk.begin(stage, person)
        asked = await talk.agreed()
        if by_link:
            visitor = await visit(stage)
            await visitor.open(found_link(asked))
            await visitor.press("Go to the log-in")
            await visitor.log_in(person.user_id, stage.passwords[person.user_id])
            await visitor.reads("Delete this account?")
            await visitor.press("Yes, delete my account")
            await visitor.reads("Your account will be removed on")
        else:
            await talk.say(person.user_id)
        await talk.hears(SCHEDULED)
    assert states(stage) == ["scheduled"] * 2
