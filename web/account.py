"""What somebody who has logged in can do with their own account: ask, confirm, see where it stands, stop it.

The request and its life are the same as those of a direct message; only the words stand elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace

from aiohttp import web

from handlers.context import Context
from handlers.direct import opening
from handlers.direct.room import NO_ROOM
from handlers.recheck import settle_if_changed
from removal.addresses import email_address
from removal.audit_action import AuditAction
from removal.lifecycle import Answered, Cancelled, ConfirmedByLogIn, NoChange, can_cancel
from removal.protection import Refusal
from removal.request import OPEN, UNCONFIRMED, Question, Request, State
from storage import people, receipts, requests
from texts import Page
from web.asking import Asking, Problem


class Account:
    """The pages behind the log-in."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def show(self, asking: Asking) -> web.Response:
        """What comes next: the options, the explanation, or where it stands."""
        _, user_id = asking.proved()
        request = await self._request(asking)
        if request is None or request.state is State.ASKING:
            return await self._options(asking, user_id, request)
        if request.state in UNCONFIRMED:
            return asking.show(Page.CONFIRM, r=request, shown=_shown(request), mail=self._mail)
        async with asking.units.database.transaction(only_reading=True) as tx:
            wanted = await receipts.is_wanted(tx, request.id)
        mail = self._mail and request.state in OPEN
        return asking.show(Page.STATUS, r=request, can_cancel=can_cancel(request), mail=mail, wanted=wanted)

    @property
    def _mail(self) -> bool:
        """Whether the receipt can go out by e-mail."""
        return self._context.settings.receipt.smtp.given

    async def _request(self, asking: Asking) -> Request | None:
        """The person's open request, else the one that this visit is about."""
        visit, user_id = asking.proved()
        async with asking.units.database.transaction() as tx:
            found = await opening.open_request(tx, user_id)
            if found is None and visit.request_id is not None:
                found = await requests.get(tx, visit.request_id)
        return found if found is not None and found.requester_id == user_id else None

    async def _options(self, asking: Asking, user_id: str, request: Request | None) -> web.Response:
        facts = await self._context.authority.facts(user_id) if request is None else request.facts
        if request is None:
            refusal = await opening.refusal_to_open(self._context, user_id, facts, erase=True)
            if refusal is not None or facts is None:
                raise self._refused(user_id, refusal)
        return asking.show(Page.OPTIONS, user=user_id, facts=facts, asked=request.questions if request else None)

    def _refused(self, user_id: str, refusal: Refusal | None) -> Problem:
        values = {"server": self._context.server_name, "similar": []}
        limit = self._context.settings.self_service.requests_per_day
        return Problem("refused", 403, refusal=refusal or Refusal.UNKNOWN, user=user_id, limit=limit, **values)

    async def choose(self, asking: Asking) -> web.Response:
        """The options were chosen: a request begins, or the chat's goes on. Nothing is confirmed by that."""
        form = await asking.form()
        visit, user_id = asking.proved()
        yes = {question: _said(form, question) for question in Question}
        request = await self._request(asking)
        if request is not None and request.state is State.ASKING:
            async with asking.units.begin() as unit:
                request = await unit.request(request.id)
                for question in request.questions:
                    request = (await unit.apply(request, Answered(question, yes[question]), actor=user_id)).request
        elif request is None or request.state not in UNCONFIRMED:
            request = await self._open(asking, user_id, yes, redact=form.get("redact") == "yes")
        await asking.keep(replace(visit, request_id=request.id))
        return asking.go("/account")

    async def _open(self, asking: Asking, user_id: str, yes: dict[Question, bool], *, redact: bool) -> Request:
        chosen = opening.options(
            self._context, erase=yes[Question.ERASE], redact=redact, delete_media=yes[Question.MEDIA]
        )
        facts = await self._context.authority.facts(user_id)
        refusal = await opening.refusal_to_open(self._context, user_id, facts, erase=chosen.erase)
        if refusal is not None or facts is None:
            async with asking.units.begin() as unit:
                await unit.audit(AuditAction.REFUSED, actor=user_id, target=user_id, because=str(refusal))
            raise self._refused(user_id, refusal)
        room_id = NO_ROOM.format(user_id)
        request = opening.new_request(self._context, user_id, chosen, facts, room_id=room_id, from_page=True)
        async with asking.units.begin() as unit:
            already = await opening.open_request(unit.tx, user_id)  # in another window, meanwhile
            await people.choose_language(unit.tx, user_id, asking.texts.language, unless_chosen=True)
            return already or await unit.open(request, trust="log_in")

    async def confirm(self, asking: Asking) -> web.Response:
        """Yes to what was shown, and to nothing else."""
        form = await asking.form()
        visit, user_id = asking.proved()
        request = await self._request(asking)
        if request is None or request.state not in UNCONFIRMED or form.get("shown") != _shown(request):
            return asking.go("/account")  # which shows what is true now
        address = _address(form)
        await asking.keep(replace(visit, request_id=request.id))
        if await settle_if_changed(self._context, request):
            return asking.go("/account")
        async with asking.units.begin() as unit:
            request = await unit.request(request.id)
            if form.get("shown") != _shown(request):
                return asking.go("/account")
            decision = await unit.apply(request, ConfirmedByLogIn(user_id, unit.now), actor=user_id)
            if address and self._mail and not decision.refusal:
                await receipts.want(unit.tx, request.id, address, asking.texts.language)
        if decision.refusal is NoChange.CLOCK_WRONG:
            raise Problem("clock_wrong", 503, back="/account")
        return asking.go("/account")

    async def receipt(self, asking: Asking) -> web.Response:
        """Where the receipt goes by e-mail; nowhere, where nothing was typed."""
        form = await asking.form()
        address, request = _address(form), await self._request(asking)
        if request is not None:
            async with asking.units.begin() as unit:
                if not address:
                    await receipts.forget(unit.tx, request.id)
                elif self._mail and (await unit.request(request.id)).state in OPEN:
                    await receipts.want(unit.tx, request.id, address, asking.texts.language)
        return asking.go("/account")

    async def cancel(self, asking: Asking) -> web.Response:
        """Stops the request."""
        await asking.form()
        visit, user_id = asking.proved()
        request = await self._request(asking)
        if request is not None:
            await asking.keep(replace(visit, request_id=request.id))
            async with asking.units.begin() as unit:
                await unit.apply(await unit.request(request.id), Cancelled(user_id), actor=user_id)
        return asking.go("/account")


def _said(form: dict[str, str], question: Question) -> bool:
    """The answer to a question. One that wasn't on the page is answered with no.

    Raises:
        Problem: neither yes nor no was chosen.
    """
    if f"asked_{question}" not in form:
        return False
    if form.get(question) not in ("yes", "no"):
        raise Problem("not_chosen", back="/account")
    return form[question] == "yes"


def _address(form: dict[str, str]) -> str:
    """The e-mail address that was typed, empty where none was. Raises: Problem: it can't be one."""
    typed = form.get("mail", "").strip()
    if not typed:
        return ""
    address = email_address(typed)
    if address is None:
        raise Problem("no_address", back="/account")
    return address


def _shown(request: Request) -> str:
    """What a page promises: the request and its options. A confirmation counts for these alone."""
    promised = [request.id, asdict(request.options), request.rules.grace_ms, request.target_id]
    return hashlib.sha256(json.dumps(promised, default=str).encode()).hexdigest()
