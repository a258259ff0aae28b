"""Watches from outside, and holds every act of the bot on an account, and every word of it, against what it saw.

It knows the homeserver's events and the bot's requests, and nothing of the bot's own database: what somebody decided is
read from the messages and reactions themselves.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from simulation.encryption import SEALED
from simulation.model.server import Server
from simulation.model.state import Event
from simulation.wave_witness import OF_WAVE, WaveWitness

YES, NO = ("✅", "✅\ufe0f"), ("❌",)
MEANWHILE_MS = 400_000
"""So long something that the bot read may be true no more until the bot acts on it: requests time out after 180 s."""
_ACTS = (
    ("PUT", re.compile(r"/_synapse/admin/v1/suspend/([^/?]+)")),
    ("PUT", re.compile(r"/_synapse/admin/v2/users/([^/?]+)")),
    ("POST", re.compile(r"/_synapse/admin/v1/deactivate/([^/?]+)")),
    ("POST", re.compile(r"/_synapse/admin/v1/user/([^/?]+)/redact")),
    ("POST", re.compile(r"/_synapse/admin/v1/user/([^/?]+)/media/quarantine")),
    ("DELETE", re.compile(r"/_synapse/admin/v1/users/([^/?]+)/media.*")),
)
_RELATIONS = re.compile(r"/_matrix/client/v1/rooms/[^/]+/relations/([^/]+)/.*")
_TXN = re.compile(r"lethe\.[0-9a-f]+\.R(\d+)\.(.+)")


@dataclass
class Card:
    """A request's own message, as people see it."""

    request_id: int
    event: Event
    target_id: str
    own: bool
    command: str
    seen_ms: int
    """When it came, in time that never jumps."""
    """What was typed; of a moderator only."""
    yes_read: list[str] = field(default_factory=list)
    """Who stood under it with a ✅ that counts when the bot looked last and nobody with a ❌."""


class Witness:
    """
    Args:
        bot_id: whose acts and words are watched.
        admin_room_id: where moderators decide.
        power_level: from which on somebody is one.
        expires_after_ms: how long a moderator may take for an answer.
        elapsed_ms: time that never jumps.
        needs_matrix_id, needs_approval: what a person's own removal needs beside the ✅.
        waves: what is known of the removals that are decided on together.
    """

    def __init__(
        self, server: Server, bot_id: str, admin_room_id: str, elapsed_ms: Callable[[], int], *, power_level: int,
        expires_after_ms: int, needs_matrix_id: bool, needs_approval: bool, waves: WaveWitness,
    ) -> None:  # fmt: skip
        self.faults: list[str] = []
        self.cards: dict[int, Card] = {}
        self.words: dict[str, str] = {}
        """Every text message: event_id → what it says."""
        self.senders: dict[str, str] = {}
        """Every text message: event_id → who said it."""
        self.said: Counter[str] = Counter()
        self.answered: set[str] = set()
        """Events to which the bot said something."""
        self.suspended_by_bot: set[str] = set()
        self.gone_by_others: set[str] = set()
        self.acts = 0
        self.moderators: list[tuple[int, frozenset[str]]] = []
        """Since when who was moderator."""
        self._server = server
        self.elapsed_ms = elapsed_ms
        self._bot_id = bot_id
        self.admin_room_id = admin_room_id
        self._power_level = power_level
        self._expires_after_ms = expires_after_ms
        self._needs_matrix_id = needs_matrix_id
        self._needs_approval = needs_approval
        self.waves = waves
        self._third: dict[str, int] = {}
        """Rooms with the bot and at least two others → since when."""
        self._approvals: dict[int, list[str]] = {}
        """Request → the messages that ask moderators for their approval."""

    def fault(self, what: str) -> None:
        self.faults.append(f"{self._server.clock()}: {what}")

    # --- what it sees ---

    def event(self, event: Event) -> None:
        """An event came."""
        if event.state_key is not None:
            self._state_changed(event)
            return
        kind, content = event.type, event.content
        if SEALED in content:
            kind, content = content[SEALED]["type"], content[SEALED]["content"]
        entitled = event.sender in self.ever_moderators(self.elapsed_ms() - MEANWHILE_MS)
        if kind == "m.reaction" and entitled and content["m.relates_to"]["key"] in YES:
            self.waves.reacted(event, self._expires_after_ms + MEANWHILE_MS)
        if kind == "m.room.message":
            self.words[event.event_id] = str(content.get("body", ""))
            self.senders[event.event_id] = event.sender
            if event.sender == self._bot_id:
                self._bot_said(event, content)
            elif entitled and event.room_id == self.admin_room_id:
                self.waves.said(event.sender, self.words[event.event_id])

    def _state_changed(self, event: Event) -> None:
        room = self._server.rooms[event.room_id]
        now = self.elapsed_ms()
        if event.room_id == self.admin_room_id:
            joined = room.with_membership("join")
            powerful = {u for u in joined if room.power(u) >= self._power_level and u != self._bot_id}
            self.moderators.append((now, frozenset(powerful)))
        elif event.type == "m.room.member":
            here = set(room.with_membership("join", "invite"))
            if self._bot_id in here and len(here) > 2:
                self._third.setdefault(event.room_id, now)
            else:
                self._third.pop(event.room_id, None)

    def requested(self, method: str, url: str, body: bytes, status: int, answer: Any) -> None:
        """The homeserver handled one of the bot's requests."""
        if status != 200:
            return
        read = _RELATIONS.fullmatch(url.partition("?")[0]) if method == "GET" else None
        if read is not None:
            self._read(unquote(read.group(1)))
        for known, pattern in _ACTS:
            found = pattern.fullmatch(url) if known == method else None
            if found is not None:
                self._acted(unquote(found.group(1)), url, json.loads(body or b"{}"))

    # --- who may ---

    def ever_moderators(self, since: int) -> frozenset[str]:
        """Who was moderator at any time since then."""
        found: frozenset[str] = frozenset()
        for at, who in reversed(self.moderators):
            found |= who
            if at < since:
                break
        return found

    def always_moderators(self, since: int) -> frozenset[str]:
        """Who was moderator all the time since then."""
        found: frozenset[str] | None = None
        for at, who in reversed(self.moderators):
            found = who if found is None else found & who
            if at < since:
                break
        return found or frozenset()

    def _read(self, event_id: str) -> None:
        card = next((each for each in self.cards.values() if each.event.event_id == event_id), None)
        if card is None or card.own:
            return
        since = self.elapsed_ms() - MEANWHILE_MS
        standing = self._server.reactions(self._server.rooms[card.event.room_id], event_id)
        keys = [(e.sender, e.content["m.relates_to"]["key"], e.ts) for e in standing]
        ever, always = self.ever_moderators(since), self.always_moderators(since)
        until = card.event.ts + self._expires_after_ms + MEANWHILE_MS
        yes = [who for who, key, ts in keys if key in YES and who in ever and who != card.target_id and ts <= until]
        if any(key in NO and who in always for who, key, _ in keys):
            yes = []
        card.yes_read = yes

    def _agreed(self, card: Card) -> bool:
        """Whether everybody who has to agree to this request has."""
        if not card.own:
            return bool(card.yes_read)
        if not self._reacted(card.event.event_id, {card.target_id}):
            return False
        said = [e for r in self._heard() for e in r.timeline if e.sender == card.target_id]
        if self._needs_matrix_id and not any(self.words.get(e.event_id) == card.target_id for e in said):
            return False
        if self._needs_approval:
            moderators = self.ever_moderators(0)
            asked = self._approvals.get(card.request_id, [])
            admin_room = self._server.rooms[self.admin_room_id]
            typed = [self.words.get(e.event_id, "") for e in admin_room.timeline if e.sender in moderators]
            by_reaction = any(self._reacted(each, moderators) for each in asked)
            return by_reaction or f"!approve R{card.request_id}" in typed
        return True

    def _heard(self) -> list[Any]:
        """The rooms in which the bot is or was."""
        return [r for r in self._server.rooms.values() if ("m.room.member", self._bot_id) in r.state]

    def _reacted(self, event_id: str, who: set[str] | frozenset[str]) -> bool:
        for room in self._server.rooms.values():
            for event in room.timeline:
                key = event.content.get("m.relates_to", {}).get("key")
                if event.type == "m.reaction" and event.sender in who and key in YES and event.annotates(event_id):
                    return True
        return False

    # --- what it holds the bot to ---

    def _acted(self, user_id: str, url: str, body: Any) -> None:
        """The bot did something to an account: somebody entitled must have agreed to just that."""
        self.acts += 1
        if "/suspend/" in url:
            (self.suspended_by_bot.add if body["suspend"] else self.suspended_by_bot.discard)(user_id)
            if not body["suspend"]:
                return  # taking a suspension back needs nobody's word
        agreed = [card for card in self.cards.values() if card.target_id == user_id and self._agreed(card)]
        erase = body["erase"] if "/deactivate/" in url else None
        if self.waves.agreed_to(user_id, erase):
            return
        if not agreed:
            self.fault(f"{url} although nobody entitled agreed to a removal of {user_id}")
        elif "/deactivate/" in url:
            fits = [card for card in agreed if card.own or ("--erase" in card.command) is erase]
            if not fits:
                self.fault(f"{user_id} deactivated with erase={erase}, which nobody agreed to")

    def _bot_said(self, event: Event, content: dict[str, Any]) -> None:
        relation = content.get("m.relates_to", {})
        answers = relation.get("m.in_reply_to", {}).get("event_id", "")
        self.answered.add(answers)
        found = _TXN.fullmatch(event.txn_id)
        request_id, purpose = (int(found.group(1)), found.group(2)) if found else (0, event.txn_id.rpartition(".")[2])
        if relation.get("rel_type") == "m.replace":
            return
        of_wave = OF_WAVE.fullmatch(event.txn_id) is not None
        if wrong := self.waves.bot_said(event, self.words.get(answers, ""), self.senders.get(answers, "")):
            self.fault(wrong)
        if purpose == "card":
            self._card(request_id, event, answers)
        if purpose.startswith("approval."):
            self._approvals.setdefault(request_id, []).append(event.event_id)
        if purpose.startswith(("done.", "outcome.done.")):
            self._said_done(request_id)
        since = self._third.get(event.room_id)
        if since is not None and self.elapsed_ms() - since > MEANWHILE_MS and purpose != "own_not_alone":
            self.fault(f"{purpose} of R{request_id} said in {event.room_id}, where somebody else has been for long")
        if "reminder" not in purpose and not of_wave:
            key = f"{event.room_id} {answers} {content.get('body')}"
            self.said[key] += 1
            if self.said[key] > 1 and answers:
                self.fault(f"said twice in answer to {answers}: {purpose} of R{request_id}")

    def _card(self, request_id: int, event: Event, answers: str) -> None:
        if request_id in self.cards:
            self.fault(f"R{request_id} has two cards")
        own = event.room_id != self.admin_room_id
        room = self._server.rooms[event.room_id]
        command = self.words.get(answers, "")
        others = [u for u in room.with_membership("join", "invite") if u != self._bot_id]
        words = command.split()
        # Somebody who asked for their own account may have left the room by now.
        target = (others or [self.senders.get(answers, "")])[0] if own else words[1] if len(words) > 1 else ""
        if not target or target not in self.words[event.event_id]:
            self.fault(f"the card of R{request_id} doesn't name {target}")
        self.cards[request_id] = Card(request_id, event, target, own, command, self.elapsed_ms())

    def _said_done(self, request_id: int) -> None:
        card = self.cards.get(request_id)
        if card is None:
            self.fault(f"R{request_id} was done, and nobody ever saw its card")
            return
        account = self._server.accounts[card.target_id]
        left = [
            name
            for name, wrong in {
                "not deactivated": not account.deactivated,
                "not erased": "--erase" in card.command and not account.erased,
                "in rooms": bool(self._server.joined_rooms(account.user_id)),
                "third-party ids": bool(account.threepids),
                "devices": bool(account.devices),
                "files": "--media" in card.command and bool(account.files),
                "suspended": account.suspended,
            }.items()
            if wrong
        ]
        if left:
            self.fault(f"R{request_id} was said to be done: {account.user_id} is {', '.join(left)}")
