"""Accounts that live in a Matrix Authentication Service (MAS): log-ins there, rooms and files in Synapse.

An account that MAS doesn't know (a bridge's, or one from before) is Synapse's alone. For all others what both say is
put together, so that "deactivated" means: in both.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping

from homeserver.accounts.detection import AuthService, uses_mas
from homeserver.accounts.errors import MovedElsewhere, OnlyInMas
from homeserver.accounts.mas_api import MasAdmin, SessionKind
from homeserver.accounts.mas_models import SessionResource, UserResource
from homeserver.accounts.models import Threepid, User
from homeserver.accounts.synapse import CALLS, Synapse
from homeserver.client.api import Api, BadAnswer, Forbidden
from homeserver.client.pace import Pace, PacedApi
from removal.ids import UserID
from removal.plan import Step

_USER = "GET /api/admin/v1/users/by-username/{username}"
_SESSIONS = tuple(f"GET /api/admin/v1/{kind.value}" for kind in SessionKind)
_ENDED = tuple(
    f"POST /api/admin/v1/{kind.value}/{{id}}/{'revoke' if kind is SessionKind.PERSONAL else 'finish'}"
    for kind in SessionKind
)
MAS_CALLS: Mapping[Step, tuple[str, ...]] = {
    Step.SNAPSHOT: (_USER, "GET /api/admin/v1/user-emails", "GET /api/admin/v1/upstream-oauth-links"),
    Step.THREEPIDS: (_USER, "GET /api/admin/v1/user-emails", "DELETE /api/admin/v1/user-emails/{id}"),
    Step.DEACTIVATE: (_USER, *_SESSIONS, *_ENDED, "POST /api/admin/v1/users/{id}/deactivate"),
    Step.WAIT: (_USER,),
    Step.SSO: (_USER, "GET /api/admin/v1/upstream-oauth-links", "DELETE /api/admin/v1/upstream-oauth-links/{id}"),
    Step.REACTIVATE: (_USER, "POST /api/admin/v1/users/{id}/reactivate"),
    Step.VERIFY: (_USER, *_SESSIONS, "GET /api/admin/v1/user-emails", "GET /api/admin/v1/upstream-oauth-links"),
}
"""Step → the requests it makes to MAS, beside those to Synapse."""
ONLY_SYNAPSES = frozenset({"POST /_synapse/admin/v1/deactivate/{user_id}"})
"""What isn't asked of Synapse for an account that MAS knows."""


class SynapseWithMas(Synapse):
    """Synapse and its MAS; an `AccountBackend`. What isn't said here is Synapse's business alone.

    Args:
        api: Synapse, with the token of a server admin.
        mas: MAS's admin API.
        service: what MAS says of itself to browsers, where that was asked.
    """

    calls: Mapping[Step, tuple[str, ...]] = {
        step: (*(call for call in calls if call not in ONLY_SYNAPSES), *MAS_CALLS.get(step, ()))
        for step, calls in CALLS.items()
    }

    deactivates_later = True
    token_checks_kept = 120

    def __init__(self, api: Api, mas: MasAdmin, service: AuthService | None = None) -> None:
        super().__init__(api)
        self.mas = mas
        self.service = service
        self._providers: dict[str, str] = {}

    def paced(self, pace: Pace) -> SynapseWithMas:
        """The same accounts; each call, to either, waits for its turn."""
        return SynapseWithMas(PacedApi.beside(self._api, pace), self.mas.paced(pace), self.service)

    async def is_admin(self) -> bool:
        """Whether both let the bot in.

        Raises:
            homeserver.accounts.mas_tokens.CredentialsRefused: MAS doesn't.
        """
        await self.mas.version()
        return await super().is_admin()

    async def versions(self) -> Mapping[str, str]:
        """Synapse's and MAS's versions."""
        return {**await super().versions(), "MAS": await self.mas.version()}

    async def ensure_in_charge(self) -> None:
        """Makes sure that the accounts are still in MAS: `GET …/auth_metadata`.

        Raises:
            MovedElsewhere: they aren't.
        """
        if not await uses_mas(self._api):
            raise MovedElsewhere("the accounts of this homeserver no longer live in a Matrix Authentication Service")

    # --- looking at an account ---

    async def user(self, user_id: str) -> User | None:
        """The account as both see it. Deactivated is what both have deactivated; an admin, or locked, is who is so in
        either.

        Raises:
            OnlyInMas: it is being made, or something is amiss.
        """
        user, known = await asyncio.gather(super().user(user_id), self._known(user_id))
        if known is None:
            return user
        if user is None:
            raise OnlyInMas(user_id)
        emails, links = await asyncio.gather(self.mas.emails(known.id), self.mas.links(known.id))
        providers = [await self._provider(each.attributes.provider_id) for each in links]
        there, gone = known.attributes, known.attributes.deactivated_at is not None
        return user.model_copy(
            update={
                "admin": user.admin or there.admin,
                "deactivated": user.deactivated and gone,
                "half_deactivated": user.deactivated != gone,
                "locked": user.locked or there.locked_at is not None,
                "half_locked": user.locked != (there.locked_at is not None),
                "is_guest": user.is_guest or there.legacy_guest,
                "threepid_media": _kinds(user.threepid_media, len(emails)),
                "external_ids": (*user.external_ids, *providers),
            }
        )

    async def server_admins(self) -> frozenset[str]:
        """Every server admin: Synapse's own, and whoever may ask MAS for the rights of one."""
        here, there, name = await asyncio.gather(super().server_admins(), self.mas.admins(), self.mas.server_name())
        return here | {f"@{username}:{name}" for username in there}

    async def owner_of(self, medium: str, address: str) -> str | None:
        """The account that has this third-party id: an e-mail address by MAS, where MAS has it.

        Raises:
            SeveralOwners: MAS has it with more than one account.
        """
        owner = await self.mas.owner_of_email(address) if medium == "email" else None
        return f"@{owner}:{await self.mas.server_name()}" if owner else await super().owner_of(medium, address)

    async def threepids(self, user_id: str) -> list[Threepid]:
        """E-mail addresses and phone numbers of both, for their owner only."""
        found = await super().threepids(user_id)
        known = await self._known(user_id)
        emails = await self.mas.emails(known.id) if known else []
        seen = {(each.medium, each.address) for each in found}  # MAS tells Synapse its addresses
        more = (Threepid(medium="email", address=each.attributes.email) for each in emails)
        return [*found, *(each for each in more if (each.medium, each.address) not in seen)]

    async def sessions(self, user_id: str) -> Mapping[str, int]:
        """How many devices there are in Synapse, and how many active sessions of each kind in MAS."""
        counted = dict(await super().sessions(user_id))
        known = await self._known(user_id)
        if known is not None:
            for kind in SessionKind:
                counted[kind.value] = len(await self.mas.active_sessions(kind, known.id))
        return counted

    # --- acting on an account ---

    async def deactivate(self, user_id: str, erase: bool) -> str:
        """Ends all sessions and deactivates in MAS, which tells Synapse later; Synapse alone where MAS doesn't know it.

        Safe to repeat. The answer means that it is queued: what happened is in `user` and `sessions`.

        Returns:
            `no-support`: MAS unbinds nothing at identity servers.
        """
        known = await self._known(user_id)
        if known is None:
            return await super().deactivate(user_id, erase)
        await self._end_sessions(known)
        await self.mas.deactivate(known.id, erase)
        return "no-support"

    async def reactivate(self, user_id: str) -> None:
        """Reactivates in MAS, which tells Synapse first; in Synapse where MAS doesn't know the account."""
        known = await self._known(user_id)
        if known is None:
            await super().reactivate(user_id)
        else:
            await self.mas.reactivate(known.id)

    async def lock(self, user_id: str, locked: bool) -> None:
        """Locks or unlocks in MAS, which tells Synapse later; in Synapse where MAS doesn't know the account."""
        known = await self._known(user_id)
        if known is None:
            await super().lock(user_id, locked)
        else:
            await self.mas.lock(known.id, locked)
            if not locked:
                await super().lock(user_id, locked)  # it may have been locked here before the accounts moved

    async def log_out(self, user_id: str) -> None:
        """Ends all sessions in MAS, and removes what devices Synapse has, those that MAS doesn't know among them."""
        known = await self._known(user_id)
        if known is not None:
            await self._end_sessions(known)
        await super().log_out(user_id)

    async def has_session(self, user_id: str, device_id: str) -> bool:
        """Whether MAS or Synapse has this session."""
        known = await self._known(user_id)
        if known is not None and await self._of_device(known, device_id):
            return True
        return await super().has_session(user_id, device_id)

    async def end_session(self, user_id: str, device_id: str) -> None:
        """Ends a session in MAS, which would give Synapse its device back, and then in Synapse."""
        known = await self._known(user_id)
        for kind, session in await self._of_device(known, device_id) if known is not None else ():
            await self.mas.end_session(kind, session.id)
        await super().end_session(user_id, device_id)

    async def scramble_password(self, user_id: str) -> bool:
        """Sets a password in MAS that nobody knows. False where MAS has no passwords, or doesn't know the account: then
        nobody logs in with one, and Synapse has no path for it in this mode.
        """
        known = await self._known(user_id)
        if known is None:
            return False
        try:
            await self.mas.set_password(known.id, secrets.token_urlsafe(32))
        except Forbidden:
            return False
        return True

    async def remove_threepids(self, user_id: str) -> tuple[str, ...]:
        """Takes all e-mail addresses and phone numbers off, in MAS first: it gives Synapse those that it has."""
        known = await self._known(user_id)
        if known is None:
            return await super().remove_threepids(user_id)
        emails = await self.mas.emails(known.id)
        for each in emails:
            await self.mas.delete_email(each.id)
        if emails and await self.mas.emails(known.id):
            raise BadAnswer("MAS still has e-mail addresses after they were taken off")
        return _kinds(await super().remove_threepids(user_id), len(emails))

    async def remove_external_ids(self, user_id: str) -> tuple[str, ...]:
        """Takes all links to single sign-on off, in both."""
        removed = await super().remove_external_ids(user_id)
        known = await self._known(user_id)
        if known is None:
            return removed
        links = await self.mas.links(known.id)
        for each in links:
            await self.mas.delete_link(each.id)
        if links and await self.mas.links(known.id):
            raise BadAnswer("MAS still has links to single sign-on after they were taken off")
        return (*removed, *[await self._provider(each.attributes.provider_id) for each in links])

    # --- inside ---

    async def _known(self, user_id: str) -> UserResource | None:
        """The account in MAS, None where MAS doesn't know it."""
        return await self.mas.user(UserID.parse(user_id).localpart)

    async def _provider(self, provider_id: str) -> str:
        if provider_id not in self._providers:
            self._providers[provider_id] = await self.mas.provider_name(provider_id)
        return self._providers[provider_id]

    async def _of_device(self, known: UserResource, device_id: str) -> list[tuple[SessionKind, SessionResource]]:
        kinds = (SessionKind.OAUTH2, SessionKind.COMPAT)
        found = [(kind, each) for kind in kinds for each in await self.mas.active_sessions(kind, known.id)]
        return [(kind, each) for kind, each in found if device_id in each.attributes.devices]

    async def _end_sessions(self, known: UserResource) -> None:
        for kind in SessionKind:
            for session in await self.mas.active_sessions(kind, known.id):
                await self.mas.end_session(kind, session.id)


def _kinds(in_synapse: tuple[str, ...], emails: int) -> tuple[str, ...]:
    """The kinds of an account's third-party ids, where MAS has so many e-mail addresses: it gives them to Synapse, so
    the same address may be in both."""
    return (*in_synapse, *("email",) * (emails - in_synapse.count("email")))
