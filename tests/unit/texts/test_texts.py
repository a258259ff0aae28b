"""Every sentence that people read: one for all that can happen, and no stranger's text gets out of its place."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import pytest
from babel.messages.pofile import read_po
from hypothesis import given
from hypothesis import strategies as st

import bot
from engine.announcements import messages
from engine.clock_watch import Clocks
from handlers.account_list import ListProblem
from handlers.command import Kind as OptionKind
from handlers.command import Option, Problem, UsageError, Why
from removal.facts import Facts
from removal.plan import Aim, Kind, Media, Options, Step
from removal.protection import Refusal
from removal.request import UNCONFIRMED, WAITING, Request, Rules, State, StepRecord, StepState
from removal.wave import MemberState, Wave, WaveNoChange, WaveState
from storage.audit import AuditRow
from storage.waves import Member
from tests.support.all_decisions import decisions
from tests.support.hostile_texts import HOSTILE, HOSTILE_ID, problems
from tests.support.made_requests import MODERATOR, NOW, in_state, moderation, own
from tests.support.made_waves import hostile
from texts import BODY_LIMIT, FOLDER, SHOWN_LIMIT, SOURCE, Template, Texts, UnknownLanguage, clean, texts_in
from texts.catalogue import known_languages

TEXTS = Texts()
LINK = "https://leave.example.org/link/" + "x" * 43
TEMPLATES = sorted(path.stem for path in (FOLDER / "en").glob("*.html") if not path.stem.startswith("_"))

Values = dict[str, Any]


def filled(request: Request, h: str) -> Request:
    """The same request with a stranger's text wherever one can be."""
    options = Options(
        erase=True,
        redact=True,
        media=Media.DELETE,
        forget_sso=True,
        handover=(("!room:x", HOSTILE_ID), (h, HOSTILE_ID)),
    )
    facts = Facts(
        displayname=h, created_ts=NOW, last_seen_ts=None, devices=3, rooms=400, threepids=("email", h), media=7,
        sso_providers=(h, h), only_admin_in=(h,) * 30, suspended=True, locked=True, deactivated=True,
    )  # fmt: skip
    steps = tuple(replace(record, cause=h, answer={**record.answer, "left": [h] * 30}) for record in request.steps)
    return replace(
        request, target_id=HOSTILE_ID, requester_id=HOSTILE_ID, confirmer_id=HOSTILE_ID, approver_id=HOSTILE_ID,
        ended_by=HOSTILE_ID, options=options, facts=facts, steps=steps, reason=h, ended_because=h, confirmed_ts=NOW,
        at_ts=NOW,
    )  # fmt: skip


def requests_with(h: str, kind: Kind) -> list[Request]:
    """A request in each state, confirmed in each way."""
    plain_ones = [replace(in_state(state), kind=kind) for state in State]
    confirming = [
        moderation(kind=kind, rules=Rules(by_reply=reply, needs_other=other, needs_approval=other, grace_ms=int(other)))
        for reply in (True, False)
        for other in (True, False)
    ]
    rungs = [
        replace(in_state(state), kind=kind, options=options)
        for state in (State.AWAITING_CONFIRMATION, State.BLOCKED, State.DONE, State.CANCELLED, State.FAILED)
        for options in (
            Options(aim=Aim.REDACT, redact=True, rooms=("!" + h,), since_ts=NOW),
            Options(aim=Aim.MEDIA, media=Media.QUARANTINE),
            Options(aim=Aim.REACTIVATE),
        )
    ]
    asking = [own(kind=kind, state=State.ASKING, questions=(question,)) for question in ("erase", "media")]
    return [filled(request, h) for request in (*plain_ones, *confirming, *rungs, *asking)]


@cache
def said_by(template: str) -> list[tuple[Request, str, tuple[str, ...]]]:
    """Of all that can happen: what this template says of it, each word once for each state."""
    found: dict[tuple[Kind, str, State], tuple[Request, str, tuple[str, ...]]] = {}
    for _, event, decision in decisions():
        request = decision.request
        for word in decision.say:
            for said in messages(request, word):
                if said.template == template:
                    found[request.kind, said.what, request.state] = (request, said.what, getattr(event, "what", ()))
    return list(found.values())


def heard(template: str, h: str) -> list[Values]:
    """All that is said by this template, of somebody with such a name."""
    return [
        {"r": filled(request, h), "what": what, "changed": changed, "head": "a" * 64, "link": link}
        for request, what, changed in said_by(template)
        for link in (LINK, "")
    ]


def errors(h: str) -> list[UsageError]:
    """Each way of not being understood."""
    points = ("U+200B ZERO WIDTH SPACE",) * 8
    return [
        UsageError(problem, name, h[:300], h[:300], why, points, (h[:300], h[:300]), 500)
        for problem in Problem
        for name in ("user", "reference", "--reason", h[:300])
        for why in (Why if problem is Problem.NOT_A_USER else [Why.NO_AT])
    ]


def audit_rows(h: str) -> list[AuditRow]:
    """Rows of the audit, with and without what is personal."""
    personal = {"actor": HOSTILE_ID, "target": HOSTILE_ID, "why": h}
    public = {"step": "wait", "state": "running"}
    return [
        AuditRow(id=1, ts=NOW, action="StepDone", request_id=7, public=public, personal=each, hash="a" * 64)
        for each in (personal, None)
    ] * 15


def each(name: str, *values: Any, **more: Any) -> list[Values]:
    """One case for each value of a name."""
    return [{name: value, **more} for value in values]


COUNTS = Counter({"done": 1000, "failed": 1, "blocked": 1, "waiting": 2, "running": 3, "cancelled": 4})


def waves(h: str) -> list[tuple[Wave, Counter[str]]]:
    """Waves in every state, begun or not."""
    return [
        (hostile(h, HOSTILE_ID, state=state, begun_ts=begun, hurry=begun is None), COUNTS)
        for state in WaveState
        for begun in (NOW - 1000, None)
    ]


CASES: dict[str, Callable[[str], list[Values]]] = {
    "almost_matrix_id": lambda h: each("user", HOSTILE_ID),
    "already_open": lambda h: [
        {"r": r, "card_event_id": e} for r in requests_with(h, Kind.MODERATION) for e in (None, "$x", h)
    ],
    "answer_in_writing": lambda h: [
        {"r": r, "approval": approval}
        for r in (*requests_with(h, Kind.MODERATION), *requests_with(h, Kind.OWN))
        for approval in (True, False)
    ],
    "another_bot": lambda h: each("host", h, started_ts=NOW),
    "approval": lambda h: heard("approval", h),
    "approval_given": lambda h: [
        {"r": r, "done": done} for r in requests_with(h, Kind.OWN) for done in ("approved", "refused")
    ],
    "audit": lambda h: [{"rows": audit_rows(h), "more": True}, {"rows": [], "more": False}],
    "bad_option": lambda h: [
        {"problem": p, "successor": h, "at_ts": at_ts} for p in TEXTS.words("option_problem") for at_ts in (NOW, 10**18)
    ],
    "card": lambda h: each("r", *requests_with(h, Kind.MODERATION)),
    "clear_text": lambda h: [{}],
    "close_how": lambda h: each("r", *requests_with(h, Kind.MODERATION)),
    "closed": lambda h: heard("closed", h),
    "clock": lambda h: [{"clocks": c, "offset_ms": ms} for c in Clocks for ms in (-31_000, 3_600_000)],
    "dry_run": lambda h: each("r", *requests_with(h, Kind.MODERATION)),
    "edited": lambda h: [{}],
    "error": lambda h: each("why", "", *TEXTS.words("trouble"), incident=h, user=HOSTILE_ID),
    "handover": lambda h: each("problem", "", *TEXTS.words("handover_problem"), room=h, successor=HOSTILE_ID),
    "help": lambda h: [
        {"commands": {topic: [(name, h) for name in TEXTS.words("command")] for topic in ("", *TEXTS.words("topic"))}}
    ],
    "help_command": lambda h: [
        {"words": words, "name": name, "usage": h, "options": options(words, name, h)}
        for words in ("", "own_")
        for name in sorted(TEXTS.words("own_command" if words else "command"))
    ],
    "identity": lambda h: [
        {"what": what, "user": HOSTILE_ID, "key": h, "required": required}
        for what in ("changed", "refused", "missing", "plain", "accepted", "own", "nothing")
        for required in (True, False)
    ],
    "info": lambda h: [
        {
            "user": HOSTILE_ID,
            "address": h,
            "f": facts,
            "flags": ["admin", "locked"],
            "sessions": {"devices": 2, h: 1},
            "reports": 3,
            "requests": requests_with(h, Kind.MODERATION),
            "devices": devices,
            "in_clear": devices is None,
        }
        for facts in (Facts(displayname=h, only_admin_in=(h,), threepids=("email",), sso_providers=(h,)), Facts())
        for devices in (None, [{"device_id": h, "name": h, "ip": h, "agent": h, "seen_ts": NOW}])
    ],
    "memberships": lambda h: [
        {"user": HOSTILE_ID, "total": total, "rooms": [{"room_id": h, "membership": h, "name": h}]}
        for total in (1, 2, 9)
    ],
    "mydata": lambda h: each("what", "not_encrypted", "once_a_day", "type_matrix_id", "wrong_matrix_id", "sent"),
    "not_changed": lambda h: [
        {"request_id": 7, "why": why, "requester": HOSTILE_ID, "over_cap": cap}
        for why in TEXTS.words("not_changed")
        for cap in (True, False)
    ],
    "not_local": lambda h: each("server", h),
    "alert": lambda h: [
        {
            "kind": kind,
            "target": target,
            "by_reply": by_reply,
            "user": HOSTILE_ID,
            "number": number,
            "told": [{"by": h, "reason": h, "about": about, "room": h, "text": h}],
            "rule": {"room": h, "entity": h, "by": h, "recommendation": h, "reason": h},
            "named": [h] if target is None else [],
        }
        for kind, about in (("report", "user_reports"), ("report", "event_reports"), ("rule", ""))
        for target in (HOSTILE_ID, None)
        for by_reply in (True, False)
        for number in (1, 2, 9)
    ],
    "alert_closed": lambda h: [
        {"kind": kind, "target": target, "how": how, "by": HOSTILE_ID}
        for kind in ("report", "rule")
        for target in (HOSTILE_ID, None)
        for how in ("dismissed", "suspended")
    ],
    "alert_said": lambda h: [
        {"what": what, "user": h, "number": number}
        for what in ("in_writing", "old_user_reports", "old_event_reports", "watching", "unreachable")
        for number in (1, 2, 9)
    ],
    "code_said": lambda h: [
        {"what": what, "name": h, "user": h}
        for what in (
            "asked", "asked_no_room", "asked_here", "no_factor", "in_room", "not_encrypted", "off", "not_moderator",
            "already", "seed", "set_up", "set_up_by", "too_old", "wrong", "used", "wait", "shut", "many_wrong",
            "nothing", "which", "reset_own", "reset_nothing", "reset",
        )
    ],
    "not_moderator": lambda h: [{}],
    "not_yours": lambda h: each("what", "deactivate"),
    "outcome": lambda h: heard("outcome", h),
    "own_card": lambda h: [{"r": r, "account_page": page} for r in requests_with(h, Kind.OWN) for page in (LINK, None)],
    "own_greeting": lambda h: [{}],
    "own_help": lambda h: [{"commands": {"": [(name, h) for name in TEXTS.words("own_command")]}}],
    "own_hint": lambda h: [{}],
    "own_receipt": lambda h: each("what", "switched_off", "no_request", "no_address", "forgotten", "kept"),
    "receipt_mail": lambda h: [
        {"r": replace(r, ended_ts=NOW), "server": h} for r in requests_with(h, Kind.OWN)
    ],
    "own_language": lambda h: [{"typed": h, "chosen": each, "known": ("de", "en")} for each in ("de", None)],
    "own_no_request": lambda h: each("typed", "", h),
    "own_not_alone": lambda h: [{}],
    "own_how": lambda h: [{}],
    "own_notice": lambda h: heard("own_notice", h),
    "own_outcome": lambda h: heard("own_outcome", h),
    "own_status": lambda h: [{"r": r, "link": link} for r in requests_with(h, Kind.OWN) for link in (LINK, "")],
    "own_third_person": lambda h: [{}],
    "confirmer_gone": lambda h: [{}],
    "only_mark": lambda h: each("r", *requests_with(h, Kind.MODERATION), *requests_with(h, Kind.OWN)),
    "own_unknown_command": lambda h: each("nearest", None, h, typed=h),
    "prompt_left_behind": lambda h: [{}],
    "receipt": lambda h: [
        {"r": r, "rows": rows, "now": NOW, "server": h, "bot": HOSTILE_ID, "head": "a" * 64}
        for r in (*requests_with(h, Kind.MODERATION), *requests_with(h, Kind.OWN))
        for rows in (audit_rows(h), [])
    ],
    "said_in_thread": lambda h: each("r", *requests_with(h, Kind.MODERATION), *requests_with(h, Kind.OWN)),
    "ping": lambda h: [{"bot": HOSTILE_ID, "server": h, "others": others} for others in ((), (h, h))],
    "shared_room": lambda h: [{"what": what, "bot": HOSTILE_ID} for what in ("short_name", "number")],
    "refusal": lambda h: [
        {"refusal": refusal, "user": HOSTILE_ID, "server": h, "similar": similar}
        for refusal in Refusal
        for similar in ([], [HOSTILE_ID] * 3)
    ],
    "refuse_how": lambda h: each("r", *requests_with(h, Kind.OWN)),
    "requests": lambda h: [
        {
            "requests": (requests_with(h, Kind.MODERATION) * 2)[:20],
            "more": True,
            "all": False,
            "now": NOW,
            "waves": waves(h)[:3],
        },
        *each("all", True, False, requests=[], more=False, now=NOW, waves=[]),
    ],
    "retrying": lambda h: each("r", *requests_with(h, Kind.MODERATION)),
    "rung": lambda h: [
        values for late in (0, 2) for values in each("rung", *TEXTS.words("rung"), user=HOSTILE_ID, late=late)
    ],
    "rung_problem": lambda h: [
        *each("problem", *TEXTS.words("rung_problem"), user=HOSTILE_ID, cause=h, limit=2, marks=None),
        *each("marks", (), ("locked", "suspended", "logged_in"), problem="failed", user=HOSTILE_ID, cause=h),
    ],
    "status": lambda h: each("r", *requests_with(h, Kind.MODERATION), *requests_with(h, Kind.OWN), now=NOW),
    "unknown_command": lambda h: each("nearest", None, h, typed=h),
    "unknown_reference": lambda h: each("typed", h),
    "unreadable": lambda h: [{}],
    "untrusted_device": lambda h: each("trust", "unsigned", "unknown", "mismatch", h),
    "upgrade": lambda h: each(
        "what",
        "followed",
        "left_behind",
        "not_successor",
        "not_by_moderator",
        "unknown",
        "waits",
        old=h,
        new=h,
        inviter=HOSTILE_ID,
    ),
    "usage_error": lambda h: each("e", *errors(h), usage=h, command=h, takes_reason=True),
    "version": lambda h: [{"versions": {"Lethe": h, h: "1"}}],
    "watch": lambda h: [
        {"alarms": [(name, {"value": h, "level": 50}) for name in names]}
        for names in (list(TEXTS.words("alarm")), *([name] for name in TEXTS.words("alarm")))
    ],
    "wave_card": lambda h: [
        {"w": w, "counts": counts, "current": current, "rate": rate, "now": NOW}
        for w, counts in waves(h)
        for current in (True, False)
        for rate in (0.0, 120.0)
    ],
    "wave_list": lambda h: each(
        "problem", *ListProblem, "one_by_one", "over_limit", "half_the_server", detail=h, limit=20_000
    ),
    "wave_member": lambda h: [
        {"w": hostile(h, HOSTILE_ID), "user": HOSTILE_ID, "m": m}
        for m in (
            None,
            *(Member(HOSTILE_ID, state, None, {"because": h}) for state in MemberState),
        )
    ],
    "wave_said": lambda h: [
        {
            "w": w,
            "what": what,
            "counts": counts,
            "why": why,
            "user": HOSTILE_ID,
            "users": [HOSTILE_ID] * 12,
            "number": 1,
            "head": "a" * 64,
        }
        for w, counts in waves(h)[:2]
        for what in ("awaiting_number", "scheduled", "expired", "cancelled", "refused", "ended", "unchanged",
                     "only_mark", "in_writing", "not_on_list", "retrying", "receipt")
        for why in ((*WaveNoChange, *WaveState) if what == "unchanged" else ("",))
    ],
}  # fmt: skip


def options(words: str, name: str, value_name: str) -> list[Option]:
    """The options that a command has words for."""
    keys = TEXTS.words("own_option" if words else "option")
    named = [option for command, _, option in (key.partition("__") for key in sorted(keys)) if command == name]
    return [Option(f"--{option}", OptionKind.WORD, value_name) for option in named]


def test_every_template_has_its_case() -> None:
    """A template that is added is rendered here too, or this fails."""
    assert sorted(CASES) == TEMPLATES


@pytest.mark.parametrize("h", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("template", Template)
def test_no_text_gets_out_of_its_place(template: Template, h: str) -> None:
    """Whatever strangers are called and write: no markup, no invisible or turning characters, no line of its own, not
    too large, and something to read in plain text."""
    cases = CASES[template](h)
    assert cases
    for values in cases:
        text = TEXTS.render(template, **values)
        assert problems(text) == []
        assert h != "x" or not re.search(r"</?[a-z]+>|&(amp|lt|gt|quot|#\d+);", text.body.replace(HOSTILE_ID, ""))


@given(value=st.text())
def test_a_cleaned_text_is_one_harmless_line(value: str) -> None:
    """Any text at all: within its limit, encodable, on one line, and cleaning it again changes nothing."""
    cleaned = clean(value)
    assert len(cleaned.encode()) <= SHOWN_LIMIT
    assert len(cleaned.splitlines()) <= 1
    assert clean(cleaned) == cleaned


@pytest.mark.parametrize(
    "value", [HOSTILE_ID, "👩‍👩‍👧 ❤️ 🏳️‍🌈 👍🏽", "Ärger in Ōsaka, “no”", "مرحبا", "नमस्ते", "a" * SHOWN_LIMIT]
)
def test_ordinary_names_stay_as_they_are(value: str) -> None:
    """Emoji, quotes, other alphabets, and a Matrix ID of the greatest length."""
    assert clean(value) == value


@pytest.mark.parametrize(
    ("first", "second"),
    [("spammer", "spam\u200bmer"), ("spammer", "spam\u200dmer"), ("spammer", "spammer\ufe0f"), ("ab", "a\u3164b")],
)
def test_names_that_differ_look_different(first: str, second: str) -> None:
    """What can't be seen is shown."""
    assert "\ufffd" in clean(second)
    assert clean(first) != clean(second)


def test_a_prompt_is_whole_however_hostile_the_account() -> None:
    """Its last line, which says how to answer, is there: nobody escapes removal by a name that makes the message too
    large."""
    for name, h in HOSTILE.items():
        card = TEXTS.render(Template.CARD, r=replace(filled(moderation(), h), requester_id=MODERATOR, reason=""))
        assert "✅ to go on, ❌ to stop." in card.body, name
        assert "What stays" in card.body
        assert len(card.formatted_body.encode()) < BODY_LIMIT


def test_a_reason_is_shown_whole() -> None:
    """500 characters may be typed, and all are shown where they matter."""
    reason = "x" * 499 + "y"
    assert reason in TEXTS.render(Template.CARD, r=moderation(reason=reason)).body
    refused = replace(in_state(State.REFUSED), kind=Kind.OWN, ended_because=reason)
    assert reason in TEXTS.render(Template.OWN_OUTCOME, r=refused, what="refused").body


def test_what_no_server_would_take_is_cut() -> None:
    """In plain text, with an ellipsis, and within the limit, even where escaping makes it grow."""
    rows = [
        replace(row, personal={"actor": "'" * 255, "target": "🙂" * 60, "why": "\u4e00" * 80}) for row in audit_rows("")
    ]
    text = TEXTS.render(Template.AUDIT, rows=rows, more=True)
    assert problems(text) == []
    assert text.body.endswith("…")
    assert set(re.findall(r"<[^>]*>", text.formatted_body)) == {"<br>"}


def test_plain_text_reads_like_the_formatted_one() -> None:
    """Lists are lists, paragraphs are apart, and nothing of the markup is left."""
    body = TEXTS.render(Template.DRY_RUN, r=moderation(facts=Facts(displayname="Spam <b>Mer</b>"))).body
    assert "\n@spammer:example.org\nName: “Spam <b>Mer</b>”\n" in body
    assert "\n\nWhat would happen, and what would stay\n 1. Records what will go" in body
    assert "\n  * Copies on other servers stay." in body


def test_a_space_between_two_elements_stays() -> None:
    """Only the ends of a template's lines are taken out: what people read apart stays apart, in HTML and plain text."""
    done = in_state(State.DONE)
    outcome = TEXTS.render(Template.OUTCOME, r=done, what="done", head="a" * 64, changed=())
    assert f"</span> <code>{done.target_id}</code>" in outcome.formatted_body
    assert f"✓ {done.target_id} is deactivated" in outcome.body


def test_every_word_of_a_decision_is_heard_by_somebody() -> None:
    """Of all that can happen to a request only these go without a message: a card or a person's own answer shows it."""
    said = {(d.request.kind, word): messages(d.request, word) for _, _, d in decisions() for word in d.say}
    silent = {key for key, heard_by in said.items() if not heard_by}
    assert silent == {
        (Kind.MODERATION, "replaced"),
        (Kind.OWN, "replaced"),
        (Kind.OWN, "prompt"),
        (Kind.OWN, "confirmation_withdrawn"),
    }


@pytest.mark.parametrize("template", [Template.CARD, Template.OWN_CARD, Template.OWN_STATUS])
def test_no_card_speaks_of_a_future_that_will_not_come(template: Template) -> None:
    """Of all requests there can be: one that has ended, or has begun, names no date and nothing that would stop it."""
    kinds = {Kind.MODERATION} if template is Template.CARD else {Kind.OWN}
    requests = {(r.state, r.due_ts is None): r for r in (d.request for _, _, d in decisions()) if r.kind in kinds}
    assert {state for state, _ in requests} >= {State.SCHEDULED, State.CANCELLED, State.RUNNING}
    for (state, _), request in requests.items():
        body = TEXTS.render(template, r=request, link=LINK, account_page=None).body
        promises = "stops it" in body or body.count("On ") > 0
        assert not promises or state in UNCONFIRMED | WAITING, (state, body)
        assert promises or state is not State.SCHEDULED


def test_a_language_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With those that are, by every command of the command line, before anything is asked of a homeserver."""
    with pytest.raises(UnknownLanguage, match="there are: de, en, es, fr"):
        Texts("xx")
    config = tmp_path / "config.yaml"
    config.write_text(
        'homeserver: {url: "http://127.0.0.1:1", user_id: "@lethe:lethe.test", password: "x"}\n'
        f'admin_room: "!room:lethe.test"\ndata_dir: "{tmp_path}/data"\nlanguage: "xx"\n'
    )
    for command in ("run", "check"):
        assert bot.main([command, "--config", str(config)]) == 1
        assert "language: got 'xx'; there are: de, en, es, fr" in capsys.readouterr().err


def test_another_language_is_a_catalogue_and_keeps_strangers_in_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sentences, plurals, dates and lengths of time are the language's; what isn't translated stays in English; what is
    put into a translation is escaped and cleaned as everywhere."""
    shutil.copytree(FOLDER / "en", tmp_path / "en")
    catalogue = tmp_path / "locale" / "de" / "LC_MESSAGES" / "lethe.po"
    catalogue.parent.mkdir(parents=True)
    catalogue.write_text(
        'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n'
        '"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n'
        'msgid "%(user)s is protected by my settings (<code>protected_users</code>)."\n'
        'msgstr "Die Einstellungen (<code>protected_users</code>) schützen %(user)s."\n'
        'msgid "%(n)s room handed over"\nmsgid_plural "%(n)s rooms handed over"\n'
        'msgstr[0] "%(n)s Raum übergeben"\nmsgstr[1] "%(n)s Räume übergeben"\n'
    )
    monkeypatch.setattr("texts.FOLDER", tmp_path)
    german = Texts("de")
    protected = german.word("refusal", "protected", user="@<u>\u202e:x")
    assert protected == "Die Einstellungen (<code>protected_users</code>) schützen <code>@&lt;u&gt;\ufffd:x</code>."
    rooms = [german.word("result", "handover", a={"handed_count": n}) for n in (1, 2)]
    assert rooms == ["1 Raum übergeben", "2 Räume übergeben"]
    assert german.word("proof", "erased") == "marked as erased"
    past = german.word("option_problem", "past", at_ts=NOW, successor="")
    assert "Dienstag, 14. November 2023, 22:13 UTC" in past
    with pytest.raises(UnknownLanguage, match="there are: de, en"):
        Texts("fr")


def test_a_value_that_is_missing_is_an_error() -> None:
    """A text with a hole in it is never sent."""
    with pytest.raises(jinja2.UndefinedError):
        TEXTS.render(Template.ERROR)
    with pytest.raises(KeyError):
        TEXTS.word("refusal", "no_such_reason")


@pytest.mark.parametrize("prefix", ["!", "?", "<&>"])
def test_the_prefix_of_the_settings_is_what_people_are_told_to_type(prefix: str) -> None:
    """Nowhere does a text insist on another one."""
    texts = Texts(prefix=prefix)
    hint = texts.render(Template.OWN_HINT).body
    assert f"{prefix}deactivate" in hint
    assert ("!deactivate" in hint) is (prefix == "!")


def test_who_keeps_the_account_hears_what_is_gone_all_the_same() -> None:
    """Stopped after the third-party ids were taken off: the person is told to add them again, the moderators that what
    was done stays done."""
    steps = (
        StepRecord(Step.SNAPSHOT, StepState.DONE, answer={"threepids": "email"}),
        StepRecord(Step.SUSPEND, StepState.DONE),
        StepRecord(Step.THREEPIDS, StepState.FAILED),
    )
    ended = {"state": State.CANCELLED, "steps": steps, "ended_by": MODERATOR}
    assert "add them again" in TEXTS.render(Template.OWN_OUTCOME, r=own(**ended), what="cancelled").body
    assert "stays done" in TEXTS.render(Template.OUTCOME, r=moderation(**ended), what="cancelled").body
    untouched = own(state=State.CANCELLED, ended_by=MODERATOR)
    assert "add them again" not in TEXTS.render(Template.OWN_OUTCOME, r=untouched, what="cancelled").body


LANGUAGES = [language for language in known_languages(FOLDER / "locale", SOURCE) if language != SOURCE]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_message_can_be_shown_in_every_language(language: str) -> None:
    """No template fails in a translation, and no value gets lost: what strangers wrote stands in it as in English."""
    translated = texts_in(language, "!")
    for template in Template:
        for values in CASES[template]("stranger"):
            shown, english = translated.render(template, **values).body, TEXTS.render(template, **values).body
            assert shown.count("stranger") == english.count("stranger"), (template, shown)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_message_is_translated(language: str) -> None:
    """None is missing, none is only guessed (fuzzy), and each keeps its placeholders and its markup."""
    with (FOLDER / "locale" / "lethe.pot").open("rb") as file:
        template = read_po(file)
    with (FOLDER / "locale" / language / "LC_MESSAGES" / "lethe.po").open("rb") as file:
        catalogue = read_po(file, locale=language)
    wanted, found = ({message.id for message in each if message.id} for each in (template, catalogue))
    missing = sorted(map(str, wanted - found))
    assert not missing, missing[:5]
    for message in catalogue:
        if not message.id:
            continue
        assert not message.fuzzy and message.string and all(message.string), message.id
        assert not [str(error) for error in message.check(catalogue)], message.id
        source = message.id if isinstance(message.id, str) else message.id[1]
        for string in [message.string] if isinstance(message.string, str) else message.string:
            assert sorted(re.findall(r"</?[a-z]+", string)) == sorted(re.findall(r"</?[a-z]+", source)), message.id
