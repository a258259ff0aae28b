"""Waves as values, for tests without a homeserver."""

from __future__ import annotations

from typing import Any

from removal.wave import Filters, Outlier, Review, Wave, WaveRules, WaveState

NOW = 1_800_000_000_000
MODERATOR, OTHER = "@moderator:lethe.test", "@other:lethe.test"
MINUTE = 60_000


def review(count: int = 3, **change: Any) -> Review:
    """A review of so many accounts."""
    return Review(count=count, digest="d" * 64, **change)


def wave(count: int = 3, **change: Any) -> Wave:
    """A wave of so many accounts that waits for its confirmation, asked a minute ago."""
    values: dict[str, Any] = {
        "id": 3,
        "requester_id": MODERATOR,
        "room_id": "!admins:lethe.test",
        "command_event_id": "$command",
        "created_ts": NOW - 2 * MINUTE,
        "state": WaveState.AWAITING_CONFIRMATION,
        "review": review(count),
        "round": 1,
        "asked_ts": NOW - MINUTE,
        "expires_ts": NOW + 9 * MINUTE,
    }
    return Wave(**{**values, **change})


def hostile(h: str, user_id: str, **change: Any) -> Wave:
    """A wave in which every text that a stranger may have written is `h`."""
    kinds = ("oldest", "longest_used", "most_rooms", "threepids", "sso")
    return wave(
        requester_id=user_id,
        confirmer_id=user_id,
        ended_by=user_id,
        ended_because=h,
        reason=h,
        notes=(f"7: {h}"[:90],),
        skipped=(("blank", 1), ("comment", 2), ("duplicate", 3), ("wrong", 1)),
        filters=Filters(match=h),
        rules=WaveRules(by_reply=bool(change.get("hurry"))),
        begun_ts=change.pop("begun_ts", None),
        ended_ts=NOW,
        due_ts=NOW,
        at_ts=NOW,
        review=review(
            refused=(("server_admin", 1), ("moderator", 2), (h[:50], 1)),
            outliers=tuple(Outlier(user_id, kind, 10**7) for kind in kinds),
            old=1,
            tied=2,
            sample=(user_id,) * 6,
        ),
        **change,
    )
