"""Watches waves: which accounts were on a list that somebody entitled agreed to.

As `Witness`, it knows what was said in the admin room, and nothing of the bot's own database.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from simulation.model.server import Server
from simulation.model.state import Event

OF_WAVE = re.compile(r"lethe\.[0-9a-f]+\.B(\d+)\.(.+)")
"""The transaction id of a message about a wave."""
_USER = re.compile(r"@[\w.-]+:[\w.-]+")
_MATCH = re.compile(r"--match (\S+)")
_EXCLUDE = re.compile(r"!exclude B(\d+) (.+)")


@dataclass
class WaveSeen:
    """A wave, as people see it."""

    wave_id: int
    command: str
    requester_id: str
    rounds: dict[int, Event] = field(default_factory=dict)
    """Each prompt: its number → its message."""
    gone_off: dict[str, int] = field(default_factory=dict)
    """Who was taken off the list → after which prompt."""
    agreed: dict[int, set[str]] = field(default_factory=dict)
    """Prompt → who said ✅ under it, in time, and was entitled to."""
    typed: set[str] = field(default_factory=set)
    """Who typed a number since."""

    def names(self, user_id: str) -> bool:
        """Whether the command asks for this account, by name or by a pattern."""
        pattern = _MATCH.search(self.command)
        if pattern is not None:
            return fnmatchcase(user_id[1:].partition(":")[0], pattern.group(1))
        return user_id in _USER.findall(self.command)


class WaveWitness:
    """
    Args:
        needs_other: whether every wave needs a second moderator.
        needs_number: whether who confirms has to type the number of accounts.
    """

    def __init__(self, server: Server, bot_id: str, needs_other: bool, needs_number: bool) -> None:
        self.waves: dict[int, WaveSeen] = {}
        self._server = server
        self._bot_id = bot_id
        self._needs_other = needs_other
        self._needs_number = needs_number

    def bot_said(self, event: Event, command: str, requester_id: str) -> str:
        """A message of the bot about a wave; returns what is wrong with it."""
        found = OF_WAVE.fullmatch(event.txn_id)
        if found is None:
            return ""
        wave_id, (what, _, rest) = int(found.group(1)), found.group(2).partition(".")
        if what != "card":
            return ""
        wave = self.waves.setdefault(wave_id, WaveSeen(wave_id, command, requester_id))
        if int(rest) in wave.rounds:
            return f"B{wave_id} asks twice for the {rest}. time"
        wave.rounds[int(rest)] = event
        return ""

    def said(self, sender: str, body: str) -> None:
        """Somebody who is moderator said something."""
        if found := _EXCLUDE.fullmatch(body):
            wave = self.waves.get(int(found.group(1)))
            for user_id in _USER.findall(found.group(2)) if wave else ():
                wave.gone_off.setdefault(user_id, max(wave.rounds, default=0))  # type: ignore[union-attr] # not None here
        if body[-1:].isdigit():
            for wave in self.waves.values():
                wave.typed.add(sender)

    def reacted(self, event: Event, until_ts: int) -> None:
        """Somebody who may be entitled said ✅. Args: until_ts: after that it counts no more, however late it is."""
        for wave in self.waves.values():
            for number, card in wave.rounds.items():
                if event.annotates(card.event_id) and event.ts <= card.ts + until_ts:
                    wave.agreed.setdefault(number, set()).add(event.sender)

    def agreed_to(self, user_id: str, erase: bool | None) -> bool:
        """Whether somebody agreed to a list with this account on it. Args: erase: None where it doesn't matter."""
        return any(self._agreed(wave, user_id) and self._fits(wave, erase) for wave in self.waves.values())

    def _fits(self, wave: WaveSeen, erase: bool | None) -> bool:
        return erase is None or ("--erase" in wave.command) is erase

    def _agreed(self, wave: WaveSeen, user_id: str) -> bool:
        if not wave.names(user_id) or "--dry-run" in wave.command:
            return False
        for number, who in wave.agreed.items():
            # The prompt that came after somebody was taken off shows a list without them.
            if number > wave.gone_off.get(user_id, number):
                continue
            entitled = who - {wave.requester_id} if self._needs_other else who
            if entitled & wave.typed if self._needs_number else entitled:
                return True
        return False
