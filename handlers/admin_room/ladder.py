"""The rungs below a removal that are done at once, each one entry of `RUNGS`: `!suspend`, `!lock`, `!logout` and so on.

A rung says what it does and what has to be read back. Before it acts, the audit has who wanted it; nobody reads "done"
before the homeserver shows it. A repeat after a crash does the same once more, which is safe for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from handlers.command import Argument, Command, Kind, Option
from handlers.context import Context, ModeratorCommand
from homeserver.accounts.backend import AccountBackend
from homeserver.accounts.models import User
from homeserver.client.api import BadToken, Refused
from removal.audit_action import AuditAction
from removal.protection import Refusal, refuse_name
from removal.request import ACTING
from storage import requests
from texts import Template

SHOWN_WITHIN = 20.0
"""Seconds in which what was done has to show: MAS tells Synapse through a queue."""

Act = Callable[[AccountBackend, str], Awaitable[object]]
Holds = Callable[[AccountBackend, User], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Rung:
    """One command that changes an account at once. Its words stand in `texts/` under its name, in the group `rung`."""

    name: str
    act: Act
    holds: Holds
    """Whether the homeserver shows it."""


async def _suspended(_accounts: AccountBackend, user: User) -> bool:
    return user.suspended


async def _not_suspended(_accounts: AccountBackend, user: User) -> bool:
    return not user.suspended


async def _locked(_accounts: AccountBackend, user: User) -> bool:
    return user.locked


async def _not_locked(_accounts: AccountBackend, user: User) -> bool:
    return not user.locked


async def _logged_out(accounts: AccountBackend, user: User) -> bool:
    return not any((await accounts.sessions(user.user_id)).values())


async def _locked_and_logged_out(accounts: AccountBackend, user: User) -> bool:
    return user.locked and await _logged_out(accounts, user)


async def _close(accounts: AccountBackend, user_id: str) -> None:
    """The lock comes first: whoever is in the account could log in again between the other two."""
    await accounts.lock(user_id, True)
    await accounts.scramble_password(user_id)
    await accounts.log_out(user_id)


RUNGS: tuple[Rung, ...] = (
    Rung("suspend", lambda accounts, user_id: accounts.suspend(user_id, True), _suspended),
    Rung("unsuspend", lambda accounts, user_id: accounts.suspend(user_id, False), _not_suspended),
    Rung("lock", lambda accounts, user_id: accounts.lock(user_id, True), _locked),
    Rung("unlock", lambda accounts, user_id: accounts.lock(user_id, False), _not_locked),
    Rung("logout", lambda accounts, user_id: accounts.log_out(user_id), _logged_out),
    Rung("compromised", _close, _locked_and_logged_out),
)


def handler(rung: Rung) -> Callable[[Context, ModeratorCommand], Awaitable[None]]:
    """The function that carries out this rung's command."""

    async def run(context: Context, asked: ModeratorCommand) -> None:
        user_id = str(asked.parsed.user("user"))
        if await _refused(context, asked, rung, user_id):
            return
        before = dict(await context.accounts.sessions(user_id))
        async with context.units.begin() as unit:
            await unit.audit(
                AuditAction.ACCOUNT_CHANGE_BEGUN,
                actor=asked.by,
                target=user_id,
                why=asked.parsed.text("--reason") or "",
                command=rung.name,
                sessions=before,
            )
        problem, cause = "", ""
        try:
            await context.accounts.ensure_in_charge()
            await rung.act(context.accounts, user_id)
            if not await _shown(context.accounts, rung, user_id):
                problem = "not_shown"
        except Refused as error:
            if isinstance(error, BadToken):
                raise  # it waits for a token that works, as all else does
            problem, cause = "failed", str(error)
        async with context.units.begin(asked.event) as unit:
            if problem:
                await unit.messages.reply(
                    asked.event, Template.RUNG_PROBLEM, problem=problem, user=user_id, cause=cause
                )
                action = AuditAction.ACCOUNT_CHANGE_FAILED
            else:
                await unit.messages.reply(asked.event, Template.RUNG, rung=rung.name, user=user_id)
                action = AuditAction.ACCOUNT_CHANGED
            await unit.audit(action, actor=asked.by, target=user_id, why=cause, command=rung.name, because=problem)

    return run


async def _shown(accounts: AccountBackend, rung: Rung, user_id: str) -> bool:
    """Waits until the homeserver shows what was done; False where it doesn't."""
    until, delay = asyncio.get_running_loop().time() + SHOWN_WITHIN, 0.05
    while True:
        user = await accounts.user(user_id)
        if user is not None and await rung.holds(accounts, user):
            return True
        if asyncio.get_running_loop().time() > until:
            return False
        await asyncio.sleep(delay)
        delay = min(delay * 2, 2.0)


async def _refused(context: Context, asked: ModeratorCommand, rung: Rung, user_id: str) -> bool:
    """Whether this account isn't touched, which has been said then. The same people are protected as from a removal."""
    refusal = refuse_name(user_id, asked.by, context.authority.surroundings(asked.room))
    problem, cause = "", ""
    if refusal is None:
        user = await context.accounts.user(user_id)
        refusal = _refusal_of(user)
        if user is not None and refusal is None:
            async with context.units.database.transaction() as tx:
                at_work = [r for r in await requests.open_for(tx, user_id) if r.state in ACTING]
            if at_work:
                problem, cause = "under_way", at_work[0].reference
            elif user.deactivated:
                problem = "deactivated"
    if refusal is None and not problem:
        return False
    async with context.units.begin(asked.event) as unit:
        if refusal is not None:
            await unit.messages.reply(
                asked.event, Template.REFUSAL, refusal=refusal, user=user_id, server=context.server_name, similar=[]
            )
        else:
            await unit.messages.reply(asked.event, Template.RUNG_PROBLEM, problem=problem, user=user_id, cause=cause)
        because = refusal.value if refusal else problem
        await unit.audit(AuditAction.REFUSED, actor=asked.by, target=user_id, because=because, command=rung.name)
    return True


def _refusal_of(user: User | None) -> Refusal | None:
    if user is None:
        return Refusal.UNKNOWN
    if user.admin:
        return Refusal.SERVER_ADMIN
    return Refusal.APPSERVICE if user.appservice_id is not None else None


COMMANDS = tuple(
    (
        Command(rung.name, (Argument("user", Kind.USER),), (Option("--reason", Kind.TEXT),), topic="act"),
        handler(rung),
    )
    for rung in RUNGS
)
