"""Searches the server's own list of accounts by what a moderator gave: `--match`, `--registered-after` and so on."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

from handlers.context import Context
from homeserver.accounts.search import AccountSearch, Listed
from removal.ids import matches_any
from removal.wave import Filters

FEW = 10
"""So many accounts are never too large a share of a server."""


class TooManyMatches(Exception):
    """A search that would take more than it may.

    Args:
        problem: `one_by_one`, `over_limit` or `half_the_server`.
        count: so many accounts.
        of: of so many, or at most so many.
    """

    def __init__(self, problem: str, count: int, of: int) -> None:
        super().__init__(f"{problem}: {count} of {of}")
        self.problem = problem
        self.count = count
        self.of = of


async def search(context: Context, finder: AccountSearch, filters: Filters) -> list[str]:
    """The accounts that everything given holds for, the newest first.

    Raises:
        TooManyMatches: more than `bulk.max_accounts`, or more than half of the server's accounts.
        HomeserverError: the list can't be read.
    """
    limit = context.settings.bulk.max_accounts
    total = await finder.total()
    found: list[str] = []
    start: str | None = "0"
    while start is not None:
        page = await finder.page(start, literal(filters.match))
        found += [user.name for user in page.users if _matches(user, filters)]
        oldest = min((user.creation_ts for user in page.users), default=0)
        over = filters.registered_after_ts is not None and oldest < filters.registered_after_ts
        start = page.next_token if page.users and not over else None
    found = list(dict.fromkeys(found))
    if not (filters.never_joined or filters.no_messages or filters.ip_of):
        _hold_to(len(found), total, limit)
    elif len(found) > limit:
        raise TooManyMatches("one_by_one", len(found), limit)
    checks: list[Callable[[str], Awaitable[bool]]] = []
    if filters.ip_of:
        known = await finder.addresses(filters.ip_of)
        found = [user_id for user_id in found if user_id != filters.ip_of]

        async def same_address(user_id: str) -> bool:
            return bool(known & await finder.addresses(user_id))

        checks.append(same_address)
    if filters.never_joined:

        async def never_joined(user_id: str) -> bool:
            return await finder.rooms_ever_joined(user_id) == 0

        checks.append(never_joined)
    if filters.no_messages:

        async def silent(user_id: str) -> bool:
            return not await finder.has_sent(user_id)

        checks.append(silent)
    for check in checks:
        found = await _those(found, check)
    if checks:
        _hold_to(len(found), total, limit)
    return found


async def _those(user_ids: list[str], check: Callable[[str], Awaitable[bool]]) -> list[str]:
    kept: list[str] = []
    for at in range(0, len(user_ids), 100):
        some = user_ids[at : at + 100]
        answers = await asyncio.gather(*(check(user_id) for user_id in some))
        kept += [user_id for user_id, yes in zip(some, answers, strict=True) if yes]
    return kept


def _hold_to(count: int, total: int, limit: int) -> None:
    if count > limit:
        raise TooManyMatches("over_limit", count, limit)
    if count > FEW and count * 2 > total:
        raise TooManyMatches("half_the_server", count, total)


def _matches(user: Listed, filters: Filters) -> bool:
    if filters.match and not matches_any(user.name, [filters.match]):
        return False
    if filters.registered_after_ts is not None and user.creation_ts < filters.registered_after_ts:
        return False
    return filters.registered_before_ts is None or user.creation_ts < filters.registered_before_ts


def literal(glob: str) -> str:
    """The longest part of a glob that the homeserver can search for: what follows is compared here.

    It searches in small letters, where PostgreSQL tells them from capital ones, and takes `_` and `%` for wildcards.
    What stands in brackets is one character out of several.
    """
    named = glob.removeprefix("@").partition(":")[0].partition("[")[0]
    return max(re.split(r"[^a-z0-9.=/+-]", named), key=len)
