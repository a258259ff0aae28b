"""Whether somebody says in their own words that they want their account removed. They are told the command."""

from __future__ import annotations

import re

from handlers.message import Message
from texts import Texts

LONGEST = 30
"""Words. Who writes more says something else, too."""


def asks_for_removal(message: Message, texts: Texts) -> bool:
    """Whether a message says so: `!delete`, "please delete my account", "erase me"."""
    verbs, objects = (set(texts.word("own_wish", name).split()) for name in ("verbs", "objects"))
    if message.command is not None:
        return re.split("[-_]", message.command)[0] in verbs
    said = [word for each in message.words[:LONGEST] for word in re.findall(r"\w+", each.text.lower())]
    if len(message.words) > LONGEST or verbs.isdisjoint(said):
        return False
    return len(said) == 1 or not objects.isdisjoint(said)
