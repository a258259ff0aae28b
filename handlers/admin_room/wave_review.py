"""Looks at a wave's accounts before anybody is asked, and freezes the list: nothing is matched when acting."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from dataclasses import fields, replace
from typing import Any

from engine.unit_of_work import UnitOfWork
from engine.wave_unit import WaveUnit
from handlers.admin_room.wave_search import TooManyMatches, search
from handlers.context import Context
from homeserver.accounts.backend import AccountBackend
from homeserver.accounts.facts import facts_of
from homeserver.accounts.search import AccountSearch
from homeserver.client.api import BadAnswer, BadToken, Forbidden, Refused, ServerFault
from homeserver.client.backoff import GATEWAY
from removal.facts import Facts
from removal.ids import InvalidUserID
from removal.protection import Surroundings, refuse_account, refuse_name
from removal.request import ACTING
from removal.wave import Looked, MemberState, Outlier, Review, Wave, WaveState
from storage import requests, waves
from storage.database import Transaction
from storage.waves import Member
from texts import Template

log = logging.getLogger(__name__)

HOUR_MS = 3_600_000
TOGETHER = 100
"""Accounts whose looks are stored together."""
SAMPLE = 6
ALREADY_OPEN = "already_open"
"""Why an account is left out that another request is working on."""
UNREADABLE = "unreadable"
"""Why an account is left out that the homeserver fails to show although it answers otherwise."""
NO_MATRIX_ID = "no_matrix_id"
"""Why an account is left out whose name, as the homeserver has it, is none by the specification."""
SUCCESSOR = "successor"
"""Why an account is left out that is to take rooms over."""
LOOKS = 3
"""So many times it is looked at an account until it counts as unreadable."""
LOOK_AGAIN = 2.0
"""Seconds."""

Found = tuple[str, MemberState, dict[str, Any]]


async def collect(context: Context, accounts: AccountBackend, finder: AccountSearch, wave: Wave) -> None:
    """Finds the accounts where a search was asked for, looks at each, and asks.

    After a restart, a search begins anew; what was looked at already of a given list isn't looked at again.

    Args:
        accounts: for the looks, at a pace that others don't notice.
        finder: the same for searches.

    Raises:
        HomeserverError: something couldn't be read; nobody was asked.
    """
    too_many: TooManyMatches | None = None
    if wave.filters is not None:
        try:
            found = await search(context, finder, wave.filters)
        except TooManyMatches as error:
            found, too_many = [], error
        async with context.units.begin(quiet=True) as unit:
            await waves.forget_members(unit.tx, wave.id)
            await waves.name(unit.tx, wave.id, found)
    room = await context.authority.admin_room()
    around = context.authority.surroundings(room)
    failed: Counter[str] = Counter()
    while True:
        async with context.units.database.transaction() as tx:
            listed = await waves.members(tx, wave.id, (MemberState.LISTED,), limit=TOGETHER)
        if not listed:
            break
        looks = await _looks(context, accounts, wave, [each.user_id for each in listed], around, failed)
        async with context.units.begin(quiet=True) as unit:
            current = await waves.get(unit.tx, wave.id)
            if current is None or current.state is not WaveState.COLLECTING:
                return  # cancelled meanwhile
            await waves.looked_at(unit.tx, wave.id, looks)
        if not looks:
            await asyncio.sleep(LOOK_AGAIN)
    async with context.units.begin() as unit:
        wave_unit = WaveUnit(unit)
        wave = await wave_unit.get(wave.id)
        because = ""
        if too_many is not None:
            values = {"problem": too_many.problem, "detail": f"{too_many.count:,}", "limit": too_many.of}
            because = unit.messages.render(Template.WAVE_LIST, **values).body
        review = await review_of(unit.tx, wave, old_before(context))
        wave = await hold_to_cap(context, unit, wave, review.count)
        await wave_unit.apply(wave, Looked(review, because))


async def hold_to_cap(context: Context, unit: UnitOfWork, wave: Wave, count: int) -> Wave:
    """Over the cap of removals an hour, by what its requester had removed lately, somebody else has to confirm it."""
    lately = await requests.confirmed_since(unit.tx, wave.requester_id, unit.now - HOUR_MS)
    over = lately + count > context.settings.moderators.max_removals_per_hour
    return replace(wave, rules=replace(wave.rules, over_cap=over))


def old_before(context: Context) -> int:
    """Accounts made before this time (ms) are pointed out."""
    return context.units.clock() - int(context.settings.bulk.old_account.total_seconds() * 1000)


async def _looks(
    context: Context,
    accounts: AccountBackend,
    wave: Wave,
    user_ids: list[str],
    around: Surroundings,
    failed: Counter[str],
) -> list[Found]:
    """What looks at some accounts brought; those where it has to be looked again are left out.

    Args:
        failed: how often the look at each has failed so far.

    Raises:
        HomeserverError: the homeserver can't be asked now.
    """
    looks = (_look(context, accounts, wave, user_id, around) for user_id in user_ids)
    answers = await asyncio.gather(*looks, return_exceptions=True)
    found: list[Found] = []
    errors: dict[str, BaseException] = {}
    for user_id, answer in zip(user_ids, answers, strict=True):
        if not isinstance(answer, BaseException):
            found.append(answer)
        elif not concerns_one(answer):
            raise answer
        else:
            errors[user_id] = answer
    if errors:
        await accounts.is_admin()  # raises where the homeserver answers nothing at all
    for user_id, error in errors.items():
        failed[user_id] += 1
        log.warning("%s: %s can't be looked at: %s", wave.reference, user_id, error)
        if failed[user_id] >= LOOKS:
            found.append((user_id, MemberState.REFUSED, {"because": UNREADABLE}))
    return found


def concerns_one(error: BaseException) -> bool:
    """Whether a failure may be about what was asked, so that it would fail for ever, and say nothing of the rest."""
    if isinstance(error, BadToken | Forbidden):
        return False
    return isinstance(error, Refused | BadAnswer) or (isinstance(error, ServerFault) and error.status not in GATEWAY)


async def _look(context: Context, accounts: AccountBackend, wave: Wave, user_id: str, around: Surroundings) -> Found:
    try:
        refusal = refuse_name(user_id, wave.requester_id, around)
    except InvalidUserID:
        return user_id, MemberState.REFUSED, {"because": NO_MATRIX_ID}
    if any(user_id == successor for _, successor in wave.options.handover):
        return user_id, MemberState.REFUSED, {"because": SUCCESSOR}
    if refusal is not None:
        return user_id, MemberState.REFUSED, {"because": refusal.value}
    user = await accounts.user(user_id)
    facts = facts_of(user) if user else None
    refusal = refuse_account(facts, wave.options)
    if refusal is not None or facts is None:
        return user_id, MemberState.REFUSED, {"because": refusal.value if refusal else "unknown"}
    async with context.units.database.transaction() as tx:
        others = await requests.open_for(tx, user_id)
    if any(other.state in ACTING for other in others):
        return user_id, MemberState.REFUSED, {"because": ALREADY_OPEN}
    facts = replace(facts, rooms=len(await accounts.joined_rooms(user_id)))
    return user_id, MemberState.WAITING, {"facts": compact(facts)}


def compact(facts: Facts) -> dict[str, Any]:
    """What of an account's facts is worth a place in its row."""
    usual = Facts()
    values = {each.name: getattr(facts, each.name) for each in fields(Facts)}
    return {name: value for name, value in values.items() if value != getattr(usual, name)}


async def review_of(tx: Transaction, wave: Wave, old_before_ts: int) -> Review:
    """What the list as it stands comes to."""
    refused: dict[str, int] = {}
    digest = hashlib.sha256()
    waiting: list[str] = []
    best: dict[str, Outlier] = {}
    old = tied = 0
    after = ""
    while page := await waves.members(tx, wave.id, limit=1000, after=after):
        after = page[-1].user_id
        for member in page:
            if member.state == MemberState.REFUSED:
                because = str(member.detail.get("because"))
                refused[because] = refused.get(because, 0) + 1
            elif member.state == MemberState.WAITING:
                waiting.append(member.user_id)
                digest.update(f"{member.user_id}\n".encode())
                for outlier in _outliers(member):
                    known = best.get(outlier.what)
                    if known is None or outlier.value > known.value:
                        best[outlier.what] = outlier
                facts = member.detail.get("facts", {})
                old += (facts.get("created_ts") or old_before_ts) < old_before_ts
                tied += bool(facts.get("threepids") or facts.get("sso_providers"))
    step = max(1, len(waiting) // SAMPLE)
    return Review(
        count=len(waiting),
        refused=tuple(sorted(refused.items())),
        outliers=tuple(best.values()),
        old=old,
        tied=tied,
        sample=tuple(waiting[::step][:SAMPLE]),
        digest=digest.hexdigest(),
    )


def _outliers(member: Member) -> list[Outlier]:
    """By what this account may stand out: the larger the value, the more. Times are milliseconds."""
    facts = member.detail.get("facts", {})
    created, seen = facts.get("created_ts"), facts.get("last_seen_ts")
    found = []
    if created is not None:
        found.append(Outlier(member.user_id, "oldest", -created))
    if created is not None and seen is not None and seen > created:
        found.append(Outlier(member.user_id, "longest_used", seen - created))
    if facts.get("rooms"):
        found.append(Outlier(member.user_id, "most_rooms", facts["rooms"]))
    if facts.get("threepids"):
        found.append(Outlier(member.user_id, "threepids", len(facts["threepids"])))
    if facts.get("sso_providers"):
        found.append(Outlier(member.user_id, "sso", len(facts["sso_providers"])))
    return found
