"""What people read fits on a phone's screen: texts are measured in lines of 40 characters, folded parts left out."""

from __future__ import annotations

import re
import textwrap
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from jinja2 import Environment, nodes

from handlers.admin_room.commands import for_admin_room
from handlers.command import short_usage
from handlers.command_set import Commands
from handlers.direct.commands import for_direct_messages
from removal.facts import Facts
from removal.plan import ALL_ROOMS, Media, Options, Step
from removal.request import ConfirmedBy, Failure, Request, Rules, State
from tests.support.made_requests import (
    DAY,
    HOUR,
    MODERATOR,
    NOW,
    SECOND_MODERATOR,
    YES,
    after,
    failed,
    in_state,
    moderation,
    own,
    play,
)
from texts import FOLDER, Template, Text, Texts, plain

WIDTH = 40
PROMPT, OUTCOME, HELP, OTHER = 18, 6, 24, 12
TEXTS = Texts()

OPTIONS = Options(
    erase=True, redact=True, media=Media.DELETE, forget_sso=True, handover=((ALL_ROOMS, "@heir:example.org"),)
)
FACTS = Facts(
    displayname="Spam & Mer, your friend", created_ts=NOW - 900 * DAY, last_seen_ts=NOW - 3 * HOUR, devices=3,
    rooms=412, threepids=("email", "msisdn"), sso_providers=("oidc-example",), media=1234, suspended=True,
    only_admin_in=("Kennel", "Lounge of the lost", "Town hall", "Garden"),
)  # fmt: skip
"""The longest plausible account and plan: everything there is to say of them."""
REASON = "spam in three rooms, reported by several people"


def shown(text: Text) -> int:
    """How many lines a phone shows of a message. Of what is folded only its summary is seen."""
    unfolded = re.sub(r"(</summary>).*?(?=</details>)", r"\1", text.formatted_body, flags=re.S)
    return sum(len(textwrap.wrap(line, WIDTH)) for line in plain(unfolded).splitlines())


def longest(**changes: Any) -> Request:
    """A moderator's request with everything in it."""
    return moderation(**{"options": OPTIONS, "facts": FACTS, "reason": REASON, **changes})


@cache
def finished() -> Request:
    """The same, done, with numbers as a large account has them."""
    running = play(longest(), replace(YES, by=SECOND_MODERATOR))
    done = after(running, running.steps[-1].step)
    answers: dict[Step, dict[str, Any]] = {
        Step.SNAPSHOT: {"room_count": 412, "devices": 3, "media": 1234, "threepids": "email, msisdn"},
        Step.HANDOVER: {"handed_count": 4},
        Step.REDACT: {"rooms": 412, "failed": 0},
        Step.MEDIA: {"deleted": 1234},
        Step.SSO: {"sso_links": 1},
    }
    steps = tuple(replace(s, answer={**s.answer, **answers.get(s.step, {})}) for s in done.steps)
    return replace(done, steps=steps, started_ts=NOW, ended_ts=NOW + 13_000)


@pytest.mark.parametrize("at_ts", [None, NOW + 7 * DAY], ids=["at once", "later"])
@pytest.mark.parametrize(
    "rules",
    [Rules(), Rules(needs_other=True), Rules(by_reply=True), *(Rules(confirmed_by=by) for by in ConfirmedBy)],
    ids=str,
)
def test_a_prompt_fits_on_one_screen(rules: Rules, at_ts: int | None) -> None:
    """Of the longest plausible plan, in each way of confirming it."""
    prompt = TEXTS.render(Template.CARD, r=longest(at_ts=at_ts, rules=rules))
    assert shown(prompt) <= PROMPT, prompt.body


@pytest.mark.parametrize("approval", [True, False])
@pytest.mark.parametrize("grace_ms", [0, 7 * DAY])
@pytest.mark.parametrize("erase", [True, False])
def test_what_a_leaving_person_is_asked_fits_on_one_screen(erase: bool, grace_ms: int, approval: bool) -> None:
    """With all six consequences in full view."""
    rules = Rules(needs_matrix_id=True, needs_approval=approval, grace_ms=grace_ms)
    prompt = TEXTS.render(
        Template.OWN_CARD, r=own(options=replace(OPTIONS, erase=erase), facts=FACTS, rules=rules), account_page=None
    )
    assert shown(prompt) <= PROMPT, prompt.body
    seen = prompt.formatted_body.partition("<details>")[0]
    for word in (
        "log in or reactivate",
        "use your Matrix ID",
        "leave all rooms",
        "identity server",
        "keep them",
        "Erasing" if erase else "Not erased",
    ):
        assert word in seen


def test_an_outcome_is_short_and_a_failed_check_is_seen() -> None:
    """What is true now, how many checks passed, by whom and how long: the rest is folded, but never a failed check."""
    outcome = TEXTS.render(Template.OUTCOME, r=finished(), what="done", head="a" * 64, changed=())
    assert shown(outcome) <= OUTCOME, outcome.body
    assert "15 of 15 checks passed" in outcome.body
    verify = finished().record(Step.VERIFY)
    assert verify is not None
    proofs = {**verify.answer["proofs"], "no_rooms": False}
    opened = replace(finished(), state=State.RUNNING, retry_ts=NOW + HOUR).with_step(
        replace(verify, state=verify.state.FAILED, answer={"proofs": proofs}, cause="not confirmed")
    )
    seen = TEXTS.render(Template.OUTCOME, r=opened, what="open", head="", changed=())
    assert shown(seen) <= OUTCOME, seen.body
    assert "✗ in no room" in seen.formatted_body.partition("<details>")[0]
    assert "✓" in seen.formatted_body.partition("<details>")[2]


@pytest.mark.parametrize(
    "what", ["blocked", "failed", "cancelled", "scheduled", "reminder", "releasing", "target_changed"]
)
def test_what_becomes_of_a_request_is_short(what: str) -> None:
    """With a cause, a remedy or a reason of ordinary length."""
    stuck = failed(
        after(play(longest(), YES), Step.SUSPEND), Step.THREEPIDS, Failure.NEEDS_PERSON, "Forbidden by a module"
    )
    record = stuck.current_step
    assert record is not None
    stuck = stuck.with_step(replace(record, answer={"remedy": "identity_server"}))
    requests = {
        "blocked": stuck,
        "failed": replace(stuck, state=State.FAILED, ended_because="The homeserver knows no such account"),
        "cancelled": replace(stuck, state=State.CANCELLED, ended_by=MODERATOR),
    }
    request = requests.get(what, replace(longest(), due_ts=NOW + 7 * DAY))
    text = TEXTS.render(Template.OUTCOME, r=request, what=what, head="", changed=("admin", "locked"))
    assert shown(text) <= OUTCOME, text.body


@pytest.mark.parametrize("state", State)
def test_a_card_that_has_ended_is_one_line(state: State) -> None:
    """It shows progress while there is some, and nothing of it afterwards."""
    card = TEXTS.render(Template.CARD, r=replace(in_state(state), target_id="@x:y.z"))
    if state in (State.RUNNING, State.RELEASING, State.BLOCKED):
        assert "suspend" in card.body
    elif state in (State.DONE, State.CANCELLED, State.EXPIRED, State.REPLACED, State.REFUSED, State.FAILED):
        assert shown(card) == 1, card.body


def all_commands() -> list[tuple[str, Commands[Any], Template]]:
    return [("", for_admin_room("!"), Template.HELP), ("own_", for_direct_messages("!"), Template.OWN_HELP)]


@pytest.mark.parametrize(("words", "commands", "template"), all_commands())
def test_help_fits_on_one_screen(words: str, commands: Commands[Any], template: Template) -> None:
    """One line for each command; the options of one stand in its own help, which fits as well."""
    text = TEXTS.render(template, commands=commands.by_topic)
    assert shown(text) <= HELP
    assert len(re.findall("^!", text.body, re.M)) == len(commands.all)
    assert "--" not in text.body
    for each in commands.all:
        values = {"words": words, "name": each.name, "usage": short_usage(each, "!"), "options": each.options}
        assert shown(TEXTS.render(Template.HELP_COMMAND, **values)) <= HELP, each.name


# --- every sentence is a message -------------------------------------------------------------------------------------

NOT_WORDS = {"UTC", "R", "MAS"}


def untranslated(source: str) -> list[str]:
    """Text of a template that no translator would see."""
    environment = Environment(extensions=["jinja2.ext.i18n"], autoescape=True)
    environment.newstyle_gettext = True  # type: ignore[attr-defined] # the extension adds it
    written = (each.data for each in environment.parse(source).find_all(nodes.TemplateData))
    return [word for data in written for word in re.findall(r"[^\W\d_]+", re.sub(r"<[^>]*>?|[^<]*>", "", data))]


def test_text_outside_a_message_is_found() -> None:
    """Or the next test could never fail."""
    assert untranslated('<p class="x">{% trans %}good{% endtrans %} bad <b>{{ worse }}</b></p>') == ["bad"]


@pytest.mark.parametrize("path", sorted((FOLDER / "en").rglob("*.html")), ids=lambda path: path.stem)
def test_every_sentence_can_be_translated(path: Any) -> None:
    """All words of all templates stand in messages."""
    assert set(untranslated(path.read_text("utf-8"))) <= NOT_WORDS
