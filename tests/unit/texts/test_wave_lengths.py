"""What people read of a wave fits on a phone's screen, as in test_lengths."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from removal.plan import Media, Options
from removal.wave import Filters, Outlier, Wave, WaveRules, WaveState
from tests.support.made_requests import DAY
from tests.support.made_waves import NOW, OTHER, review, wave
from tests.unit.texts.test_lengths import OUTCOME, PROMPT, TEXTS, shown
from texts import Template

COUNTS = Counter(
    {"done": 17_000, "failed": 3, "blocked": 9, "running": 200, "waiting": 2_000, "cancelled": 40, "closed": 1}
)


def longest(**change: Any) -> Wave:
    """A wave with everything in it that there is to say, in lengths as they occur."""
    users = tuple(f"@pills-and-more-{number:05}:example.org" for number in range(6))
    kinds = ("oldest", "longest_used", "most_rooms", "threepids", "sso")
    whole = review(
        19_253,
        refused=(("server_admin", 1), ("moderator", 2), ("protected", 3), ("unknown", 40), ("already_deactivated", 9)),
        outliers=tuple(Outlier(user, kind, 10**10) for user, kind in zip(users, kinds, strict=False)),
        old=12,
        tied=31,
        sample=users,
    )
    values: dict[str, Any] = {
        "review": whole,
        "options": Options(erase=True, redact=True, media=Media.DELETE),
        "reason": "pills, reported by several people",
        "skipped": (("blank", 3), ("comment", 2), ("duplicate", 120), ("wrong", 7)),
        "notes": ("17: nobody",),
        "filters": Filters(match="pills*"),
        "confirmer_id": OTHER,
    }
    return wave(**{**values, **change})


@pytest.mark.parametrize("at_ts", [None, NOW + 7 * DAY], ids=["at once", "later"])
@pytest.mark.parametrize("by_reply", [False, True])
def test_a_waves_prompt_fits_on_one_screen(by_reply: bool, at_ts: int | None) -> None:
    """With a second moderator and a number to be typed; what stands out is folded."""
    asked = longest(rules=WaveRules(by_reply=by_reply), at_ts=at_ts)
    prompt = TEXTS.render(Template.WAVE_CARD, w=asked, counts=COUNTS, current=True, rate=0.0, now=NOW)
    assert shown(prompt) <= PROMPT, prompt.body


@pytest.mark.parametrize("state", [WaveState.RUNNING, WaveState.PAUSED, WaveState.CANCELLING, WaveState.DONE])
def test_a_wave_at_work_is_short(state: WaveState) -> None:
    """Its one message, and the lines at its end."""
    working = longest(state=state, begun_ts=NOW, ended_ts=NOW + 3_000_000)
    card = TEXTS.render(Template.WAVE_CARD, w=working, counts=COUNTS, current=True, rate=612.0, now=NOW)
    assert shown(card) <= OUTCOME + 4, card.body
    ended = TEXTS.render(Template.WAVE_SAID, w=working, what="ended", counts=COUNTS)
    assert shown(ended) <= OUTCOME + 4, ended.body
