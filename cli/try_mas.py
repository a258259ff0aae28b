"""`bot.py check --try-mas @user`: a first try of MAS, with an account made for it, which is gone afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from cli.findings import Report
from config import Settings
from homeserver.accounts.mas import SynapseWithMas
from homeserver.accounts.models import User
from removal.ids import InvalidUserID, UserID, matches_any

DAY_MS = 86_400_000
WITHIN = 60.0
"""Seconds in which MAS's queue has to have done what it was asked for."""


async def try_mas(settings: Settings, accounts: SynapseWithMas, typed: str, report: Report) -> None:
    """Locks, unlocks and deactivates the account, each followed until MAS and Synapse both show it.

    Only an account that was made within a day is taken: a slip of the fingers must not hit anybody's.

    Raises:
        HomeserverError: as in homeserver.client.api.
    """
    user = await _throwaway(settings, accounts, typed, report)
    if user is None:
        return
    user_id = user.user_id
    steps: tuple[tuple[str, Callable[[], Awaitable[object]], Callable[[User], bool]], ...] = (
        ("lock", lambda: accounts.lock(user_id, True), lambda now: now.locked),
        ("unlock", lambda: accounts.lock(user_id, False), lambda now: not now.locked),
        ("deactivate", lambda: accounts.deactivate(user_id, True), lambda now: now.deactivated and now.erased),
    )
    for name, act, holds in steps:
        began = time.monotonic()
        await act()
        if not await _shown(accounts, user_id, holds):
            report.bad("try_not_shown", what=name, user=user_id, seconds=f"{WITHIN:.0f}")
            return
        report.good("try_shown", what=name, user=user_id, seconds=f"{time.monotonic() - began:.1f}")
    left = {kind: number for kind, number in (await accounts.sessions(user_id)).items() if number}
    if left:
        report.bad("try_sessions_left", user=user_id, kinds=", ".join(left))
    else:
        report.good("try_done", user=user_id)


async def _throwaway(settings: Settings, accounts: SynapseWithMas, typed: str, report: Report) -> User | None:
    try:
        user_id = str(UserID.parse(typed if ":" in typed else f"{typed}:{settings.homeserver.server_name}"))
    except InvalidUserID:
        report.bad("try_no_id", typed=typed)
        return None
    protected = matches_any(user_id, settings.protected_users) or user_id == settings.homeserver.user_id
    user = None if protected else await accounts.user(user_id)
    known = user is not None and await accounts.mas.user(UserID.parse(user_id).localpart) is not None
    if protected or (user is not None and (user.admin or user.appservice_id is not None)):
        report.bad("try_protected", user=user_id)
    elif user is None or not known:
        report.bad("try_unknown", user=user_id)
    elif user.deactivated or time.time() * 1000 - (user.creation_ts or 0) > DAY_MS:
        report.bad("try_not_new", user=user_id)
    else:
        return user
    return None


async def _shown(accounts: SynapseWithMas, user_id: str, holds: Callable[[User], bool]) -> bool:
    until = time.monotonic() + WITHIN
    while time.monotonic() < until:
        user = await accounts.user(user_id)
        if user is not None and not user.half_deactivated and holds(user):
            return True
        await asyncio.sleep(0.2)
    return False
