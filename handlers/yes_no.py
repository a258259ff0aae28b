"""What counts as an answer to a prompt: a reaction's key, or `yes R7` typed."""

from __future__ import annotations

import unicodedata

from handlers.message import Message
from removal.ids import parse_reference
from removal.incoming import Incoming

YES = frozenset({"✅"})
"""Nothing else confirms: what it begins can't be taken back."""
NO = frozenset({"❌", "✖", "✗", "✘"})
"""Generous: to stop something by mistake costs little."""
LOOKS_LIKE_YES = frozenset({"✔", "☑", "✓", "🗸", "👍", "👌", "🆗"})
"""Confirm nothing, and their sender is told so."""


def normalise(key: str) -> str:
    """A reaction's key without variation selectors and skin tones: by the specification it is any text."""
    kept = [c for c in key.strip() if c not in "\ufe0e\ufe0f" and not "\U0001f3fb" <= c <= "\U0001f3ff"]
    return unicodedata.normalize("NFC", "".join(kept))


def annotation(event: Incoming) -> tuple[str, str] | None:
    """The event that a reaction stands under, and its normalised key; None where it is no reaction."""
    relation = event.content.get("m.relates_to")
    if event.type != "m.reaction" or not isinstance(relation, dict) or relation.get("rel_type") != "m.annotation":
        return None
    target, key = relation.get("event_id"), relation.get("key")
    return (target, normalise(key)) if isinstance(target, str) and isinstance(key, str) else None


def typed(message: Message) -> tuple[int, bool] | None:
    """What a message that consists of `yes R7` or `no R7` answers: the request's number, and whether it says yes."""
    words = [word.text.lower().rstrip(".!,") for word in message.words]
    if message.command is not None or len(words) != 2 or words[0] not in ("yes", "no"):
        return None
    request_id = parse_reference(words[1])
    return None if request_id is None else (request_id, words[0] == "yes")
