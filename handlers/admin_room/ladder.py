"""The rungs below a removal that are done at once, each one entry of `RUNGS`: `!suspend`, `!lock`, `!logout` and so on.

A rung says what it does and what has to be read back. Before it acts, the audit has who wanted it, once; nobody reads
"done" before the homeserver shows it, and whatever went wrong, the answer says what is true then. A repeat after a
crash does the same once more, which is safe for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from handlers.command import Argument, Command, Kind, Option
from handlers.context import Context, ModeratorCommand
from homeserver.accounts.backend import AccountBackend
from homeserver.accounts.mas_tokens import CredentialsRefused
from homeserver.accounts.models import User
from homeserver.client.api import BadToken, HomeserverError, Refused
from removal.audit_action import AuditAction
from removal.protection import Refusal, refuse_name
from removal.request import ACTING
from storage import audit, requests
from texts import Template

HOUR_MS = 3_600_000
TRIED_FOR = 20.0
"""Seconds in which it is tried again where the trouble may pass: what is said in the room later waits behind it."""
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
    limited: bool = True
    """Counts towards `moderators.max_changes_per_hour`; what takes something back doesn't."""
    shows_all: bool = True
    """Whether all that it does can be read back. Else it has to have come to its end, too."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went. `problem` is empty where the homeserver shows what was wanted."""

    problem: str = ""
    cause: str = ""
    marks: tuple[str, ...] | None = None
    """What of `MARKS` is true of the account by now; None where that couldn't be read."""


MARKS = ("locked", "suspended", "logged_in")


async def _suspended(_accounts: AccountBackend, user: User) -> bool:
    return user.suspended


async def _not_suspended(_accounts: AccountBackend, user: User) -> bool:
    return not user.suspended


async def _locked(_accounts: AccountBackend, user: User) -> bool:
    return user.locked and not user.half_locked


async def _not_locked(_accounts: AccountBackend, user: User) -> bool:
    return not user.locked


async def _logged_out(accounts: AccountBackend, user: User) -> bool:
    return not any((await accounts.sessions(user.user_id)).values())


async def _locked_and_logged_out(accounts: AccountBackend, user: User) -> bool:
    return await _locked(accounts, user) and await _logged_out(accounts, user)


async def _close(accounts: AccountBackend, user_id: str) -> None:
    """The lock comes first: whoever is in the account could log in again between the other two."""
    await accounts.lock(user_id, True)
    await accounts.scramble_password(user_id)
    await accounts.log_out(user_id)


RUNGS: tuple[Rung, ...] = (
    Rung("suspend", lambda accounts, user_id: accounts.suspend(user_id, True), _suspended),
    Rung("unsuspend", lambda accounts, user_id: accounts.suspend(user_id, False), _not_suspended, limited=False),
    Rung("lock", lambda accounts, user_id: accounts.lock(user_id, True), _locked),
    Rung("unlock", lambda accounts, user_id: accounts.lock(user_id, False), _not_locked, limited=False),
    Rung("logout", lambda accounts, user_id: accounts.log_out(user_id), _logged_out),
    Rung("compromised", _close, _locked_and_logged_out, shows_all=False),  # nobody can read a password back
)


def handler(rung: Rung) -> Callable[[Context, ModeratorCommand], Awaitable[None]]:
    """The function that carries out this rung's command."""

    async def run(context: Context, asked: ModeratorCommand) -> None:
        user_id = str(asked.parsed.user("user"))
        if await _refused(context, asked, rung, user_id):
            return
        if not await _begun(context, asked, rung, user_id):
            return
        outcome = await carry_out(context.accounts, rung, user_id)
        async with context.units.begin(asked.event) as unit:
            if outcome.problem:
                await unit.messages.reply(
                    asked.event,
                    Template.RUNG_PROBLEM,
                    problem=outcome.problem,
                    user=user_id,
                    cause=outcome.cause,
                    marks=outcome.marks,
                )
            else:
                late = context.accounts.token_checks_kept // 60
                await unit.messages.reply(asked.event, Template.RUNG, rung=rung.name, user=user_id, late=late)
            await unit.audit(
                AuditAction.ACCOUNT_CHANGE_FAILED if outcome.problem else AuditAction.ACCOUNT_CHANGED,
                actor=asked.by,
                target=user_id,
                why=outcome.cause,
                command=rung.name,
                because=outcome.problem,
                marks=None if outcome.marks is None else list(outcome.marks),
            )

    return run


async def _begun(context: Context, asked: ModeratorCommand, rung: Rung, user_id: str) -> bool:
    """Writes down who wants it, once for each command; False where somebody did too much lately, which was said then.

    Raises:
        HomeserverError: the account's sessions can't be read; nothing was written then.
    """
    before = dict(await context.accounts.sessions(user_id))
    limit, limited = context.settings.moderators.max_changes_per_hour, {each.name for each in RUNGS if each.limited}
    action = AuditAction.ACCOUNT_CHANGE_BEGUN
    async with context.units.begin() as unit:
        if await audit.has_begun(unit.tx, action, asked.by, asked.event.event_id):
            return True  # a crash came between this and the end
        lately = await audit.commands_since(unit.tx, action, asked.by, unit.now - HOUR_MS)
        too_many = rung.limited and sum(command in limited for command in lately) >= limit
        if not too_many:
            await unit.audit(
                action,
                actor=asked.by,
                target=user_id,
                why=asked.parsed.text("--reason") or "",
                command=rung.name,
                sessions=before,
                event_id=asked.event.event_id,
            )
            return True
        await unit.messages.reply(
            asked.event, Template.RUNG_PROBLEM, problem="too_many", user=user_id, cause="", limit=limit
        )
        await unit.audit(AuditAction.REFUSED, actor=asked.by, target=user_id, because="too_many", command=rung.name)
        await unit.done(asked.event)
    return False


async def carry_out(accounts: AccountBackend, rung: Rung, user_id: str) -> Outcome:
    """Does what a rung does, again while the trouble may pass, and reads back what is true then.

    Raises:
        BadToken: the homeserver doesn't take the bot's own token; all waits for one that works.
    """
    error = await _act(accounts, rung, user_id)
    acted = error is None
    shown, marks = await _shown(accounts, rung, user_id, within=SHOWN_WITHIN if acted else 0.0)
    if shown and (acted or rung.shows_all):
        return Outcome(marks=marks)  # where an answer was lost, the homeserver did it all the same
    if acted:
        return Outcome("not_shown", "", marks)
    return Outcome("failed" if isinstance(error, Refused) else "unknown", str(error), marks)


async def _act(accounts: AccountBackend, rung: Rung, user_id: str) -> HomeserverError | None:
    """Acts; the last error where that never went well. Raises: BadToken."""
    clock = asyncio.get_running_loop().time
    until, delay = clock() + TRIED_FOR, 0.25
    while True:
        try:
            await accounts.ensure_in_charge()
            await rung.act(accounts, user_id)
        except HomeserverError as error:
            if isinstance(error, BadToken) and not isinstance(error, CredentialsRefused):
                raise
            if isinstance(error, Refused) or clock() + delay > until:
                return error
        else:
            return None
        await asyncio.sleep(delay)
        delay = min(delay * 2, 4.0)


async def _shown(
    accounts: AccountBackend, rung: Rung, user_id: str, *, within: float
) -> tuple[bool, tuple[str, ...] | None]:
    """Waits until the homeserver shows what was done. Whether it does, and what is true of the account at the end.

    Raises: BadToken.
    """
    clock = asyncio.get_running_loop().time
    until, delay = clock() + within, 0.05
    while True:
        shown, marks = False, None
        try:
            user = await accounts.user(user_id)
            if user is not None:
                shown = await rung.holds(accounts, user)
                logged_in = not await _logged_out(accounts, user)
                marks = tuple(
                    mark for mark, holds in zip(MARKS, (user.locked, user.suspended, logged_in), strict=True) if holds
                )
        except HomeserverError as error:
            if isinstance(error, BadToken) and not isinstance(error, CredentialsRefused):
                raise
        if shown or clock() + delay > until:
            return shown, marks
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
