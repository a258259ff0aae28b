"""A wave within a unit of work: what was decided of it is stored, audited and told together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.announcements import YES_NO
from engine.messages import edit_content, message_content
from engine.unit_of_work import UnitOfWork
from removal.audit_action import AuditAction
from removal.facts import Facts
from removal.plan import Kind, steps_for
from removal.request import Request, Rules, State, StepRecord, StepState
from removal.wave import Confirmed, Event, NumberTyped, Wave, WaveDecision, WaveNoChange, decide
from storage import outbox, waves
from storage.waves import Member
from texts import Template

CARD = "wave."
"""What the purpose of every message of a wave begins with: `wave.3.card.1` is the first prompt of B3."""
CONTROLS = ("⏸", "▶", "⏹")
"""Reactions under a wave that is under way: pause, resume, cancel."""


class UnknownWave(Exception):
    """There is no such wave."""


def card_of(purpose: str) -> tuple[int, int] | None:
    """The wave, and the round of its prompt, that a sent message with this purpose is; None for every other."""
    parts = purpose.split(".")
    if len(parts) != 4 or f"{parts[0]}." != CARD or parts[2] != "card":
        return None
    return int(parts[1]), int(parts[3])


class WaveUnit:
    """What may be done with waves in one transaction."""

    def __init__(self, unit: UnitOfWork) -> None:
        self._unit = unit
        self.tx = unit.tx
        self.now = unit.now

    async def get(self, wave_id: int) -> Wave:
        """Raises: UnknownWave."""
        found = await waves.get(self.tx, wave_id)
        if found is None:
            raise UnknownWave(wave_id)
        return found

    async def open(self, wave: Wave) -> Wave:
        """Stores a new wave (its `id` is given here) and says that its accounts are being looked at."""
        wave = await waves.add(self.tx, wave)
        await self._audit(AuditAction.WAVE_OPENED, wave, wave.requester_id, wave.reason)
        await self.show(wave)
        return wave

    async def apply(self, wave: Wave, event: Event, *, actor: str | None = None) -> WaveDecision:
        """Decides, and stores what follows. A refusal changes nothing; the audit has it where a person asked."""
        decision = decide(wave, event, self.now)
        if self._unit.clock_wrong and isinstance(event, Confirmed | NumberTyped) and decision.refusal is None:
            decision = WaveDecision(wave, refusal=WaveNoChange.CLOCK)  # nobody knows whether it was said in time
        if self._unit.code_missing and isinstance(event, Confirmed) and decision.refusal is None:
            decision = WaveDecision(wave, refusal=WaveNoChange.CODE_MISSING)
        name = type(event).__name__
        if decision.refusal is not None:
            if actor is not None:
                await self._audit(
                    AuditAction.WAVE_UNCHANGED, wave, actor, event=name, because=str(decision.refusal.value)
                )
            return decision
        saved = await waves.save(self.tx, decision.wave)
        await self._audit(
            AuditAction.WAVE_CHANGED,
            saved,
            actor,
            getattr(event, "because", ""),
            event=name,
            state=saved.state.value,
            accounts=saved.review.count,
            digest=saved.review.digest,
        )
        if saved.round == wave.round:
            await self.show(saved)
        else:
            await self.show(saved, round_=wave.round)  # the prompt that counts no more says so
        return WaveDecision(saved)

    async def told(self, wave: Wave) -> Wave:
        """What the wave's state has to tell is told."""
        return await waves.save(self.tx, replace(wave, reported=True))

    async def show(self, wave: Wave, *, round_: int | None = None, rate: float = 0.0) -> None:
        """The wave's own message: sent once for each round, and edited from then on.

        Args:
            round_: of the message that is meant, where it isn't the newest one.
            rate: accounts that were done a minute lately, 0 where that isn't known.
        """
        round_ = wave.round if round_ is None else round_
        text = self._unit.messages.render(
            Template.WAVE_CARD,
            w=wave,
            counts=await waves.counts(self.tx, wave.id),
            current=round_ == wave.round,
            rate=rate,
            now=self.now,
        )
        key = f"{wave.reference}.card.{round_}"
        purpose = f"{CARD}{wave.id}.card.{round_}"
        put = self._unit.messages.put
        if await outbox.room_of(self.tx, self._unit.messages.txn_id(key)) is None:
            await put(wave.room_id, purpose, message_content(text, reply_to=wave.command_event_id), key=key)
            return
        await outbox.drop_untried_in(self.tx, wave.room_id, f"{purpose}.edit.")
        edit = edit_content(text)
        which = f"{wave.version}.{self.now}"
        await put(
            wave.room_id, f"{purpose}.edit.{which}", edit, key=f"{key}.edit.{which}", relates_to=key, delay_ms=500
        )

    async def react(self, wave: Wave, keys: tuple[str, ...] = YES_NO) -> None:
        """Puts reactions under the wave's newest prompt."""
        card = f"{wave.reference}.card.{wave.round}"
        for key in keys:
            await self._unit.messages.put(
                wave.room_id,
                f"{CARD}{wave.id}.reaction.{key}",
                {"m.relates_to": {"rel_type": "m.annotation", "key": key}},
                key=f"{card}.reaction.{key}",
                relates_to=card,
                event_type="m.reaction",
            )

    async def say(self, wave: Wave, what: str, *, mention: str | None = None, **values: Any) -> None:
        """A short message about a wave, once for each state it comes to (`what` names it)."""
        text = self._unit.messages.render(
            Template.WAVE_SAID, w=wave, what=what, counts=await waves.counts(self.tx, wave.id), **values
        )
        content = message_content(text, reply_to=wave.command_event_id, mention=mention)
        key = f"{wave.reference}.{what}.{wave.round}.{wave.version}"
        await self._unit.messages.put(wave.room_id, f"{CARD}{wave.id}.{what}", content, key=key)

    async def send_file(self, wave: Wave, content: dict[str, Any], what: str) -> None:
        """Shows a file that was uploaded."""
        content = {**content, "m.relates_to": {"m.in_reply_to": {"event_id": wave.command_event_id}}}
        key = f"{wave.reference}.file.{what}.{wave.round}.{wave.version}"
        await self._unit.messages.put(wave.room_id, f"{CARD}{wave.id}.file", content, key=key)

    async def _audit(self, action: AuditAction, wave: Wave, actor: str | None, why: str = "", **public: Any) -> None:
        await self._unit.audit(action, actor=actor, why=why, wave=wave.reference, **public)


def request_for(wave: Wave, member: Member, now: int) -> Request:
    """The request of one account of a confirmed wave, its suspension begun. `now` in milliseconds since 1970."""
    facts = member.detail.get("facts", {})
    known: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}
    steps = [StepRecord(step) for step in steps_for(Kind.MODERATION, wave.options, in_wave=True)]
    steps[0] = replace(steps[0], state=StepState.STARTED, attempts=1, started_ts=now)
    return Request(
        id=0,
        kind=Kind.MODERATION,
        requester_id=wave.requester_id,
        target_id=member.user_id,
        room_id=wave.room_id,
        command_event_id=wave.command_event_id,
        created_ts=now,
        expires_ts=wave.expires_ts,
        state=State.RUNNING,
        options=wave.options,
        rules=Rules(confirmed_by=wave.rules.confirmed_by, expires_after_ms=wave.rules.expires_after_ms),
        facts=Facts(**known),
        reason=wave.reason,
        confirmer_id=wave.confirmer_id,
        confirmed_ts=wave.confirmed_ts,
        confirmation_event_id=wave.confirmation_event_id,
        confirmer_trust=wave.confirmer_trust,
        started_ts=now,
        steps=tuple(steps),
        wave_id=wave.id,
    )
