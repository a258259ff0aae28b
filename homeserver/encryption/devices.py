"""Other people's devices and identities, from the homeserver and with their signatures verified.

Source: client-server API, "End-to-end encryption" (`/keys/query`, device lists in `/sync`), "Cross-signing".
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from homeserver.client.api import Api
from homeserver.encryption.machine import Claim
from homeserver.encryption.signing import Device, Owner, read_owner
from removal.incoming import DeviceTrust

_USERS_MAX = 100
"""Asked about in one call."""
_REMOTE_TIMEOUT_MS = 10_000
"""How long the homeserver may wait for another one."""
_ANEW_PAUSE = 10.0
"""Seconds in which nobody's unknown device makes us ask about them again, unless we are told of a change."""


@dataclass(frozen=True, slots=True)
class Writer:
    """What is known of whoever encrypted an event."""

    trust: DeviceTrust
    device_id: str | None = None
    identity_key: str | None = None


class Directory:
    """What `/keys/query` says of people, kept until the homeserver says that it changed.

    Args:
        api: with the bot's token.
        learn: told every user's devices anew; returns the ids of those it doesn't take (their key changed).
        log: gets what is strange.
        clock: seconds, never going back.
    """

    def __init__(
        self,
        api: Api,
        learn: Callable[[str, Mapping[str, Device]], set[str]],
        log: logging.Logger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._learn = learn
        self._log = log
        self._owners: dict[str, Owner] = {}
        self._stale: set[str] = set()
        self._changes: dict[str, int] = {}
        self._asked: dict[str, float] = {}
        self._clock = clock

    def changed(self, user_ids: Iterable[str]) -> None:
        """Their devices changed, or we may have missed changes: ask again before they are relied on."""
        for user_id in user_ids:
            self._changes[user_id] = self._changes.get(user_id, 0) + 1
            self._stale.add(user_id)

    def owner(self, user_id: str) -> Owner:
        """What is known of somebody; nothing where nobody asked yet."""
        return self._owners.get(user_id, Owner({}))

    async def refresh(self, user_ids: Iterable[str], anew: bool = False) -> None:
        """Asks about those of whom we know nothing, or something old.

        Whoever's homeserver is away stays as they were, and is asked about again the next time.

        Args:
            user_ids: of anybody.
            anew: ask about everybody, however much we know.

        Raises:
            HomeserverError: our own homeserver doesn't answer.
        """
        wanted = sorted({each for each in user_ids if anew or each in self._stale or each not in self._owners})
        for start in range(0, len(wanted), _USERS_MAX):
            await self._ask(wanted[start : start + _USERS_MAX])

    async def _ask(self, user_ids: list[str]) -> None:
        before = {user_id: self._changes.get(user_id, 0) for user_id in user_ids}
        body = {"device_keys": {user_id: [] for user_id in user_ids}, "timeout": _REMOTE_TIMEOUT_MS}
        answer = await self._api.call("POST", "/_matrix/client/v3/keys/query", json=body, timeout=60.0)
        told = answer.get("device_keys")
        for user_id in user_ids:
            self._asked[user_id] = self._clock()
            if not isinstance(told, dict) or user_id not in told:
                self._stale.add(user_id)
                self._owners.setdefault(user_id, Owner({}))
                continue
            owner = read_owner(answer, user_id)
            strange = self._learn(user_id, owner.devices)
            if strange:
                self._log.warning(
                    "The keys of these devices of %s have changed: %s", user_id, ", ".join(sorted(strange))
                )
                devices = {name: device for name, device in owner.devices.items() if name not in strange}
                owner = Owner(devices, owner.identity_key, owner.self_signing_key)
            self._owners[user_id] = owner
            if self._changes.get(user_id, 0) == before[user_id]:  # nothing changed while we asked
                self._stale.discard(user_id)

    async def writer(self, sender: str, claims: list[Claim]) -> Writer:
        """Who encrypted an event that the homeserver says is of `sender`.

        Args:
            sender: the event's sender.
            claims: of the session it was encrypted with.

        Raises:
            HomeserverError: our own homeserver doesn't answer.
        """
        own = [claim for claim in claims if claim.user_id == sender]
        if not own:
            return Writer(DeviceTrust.MISMATCH)
        await self.refresh([sender])
        found = self._find(sender, own)
        if found.trust is DeviceTrust.UNKNOWN and self._clock() - self._asked.get(sender, 0.0) > _ANEW_PAUSE:
            # Perhaps a device so new that we weren't told of it.
            await self.refresh([sender], anew=True)
            found = self._find(sender, own)
        return found

    def _find(self, sender: str, claims: list[Claim]) -> Writer:
        owner = self.owner(sender)
        by_key = {device.curve25519: device for device in owner.devices.values()}
        found = [(device, claim) for claim in claims if (device := by_key.get(claim.sender_key))]
        # A signed device is believed first: another device of the same person can pass its session off as its own, but
        # nobody can make a session that a device which we trust passes off.
        for device, claim in sorted(found, key=lambda each: not each[0].signed):
            if device.ed25519 == claim.ed25519:
                trust = DeviceTrust.SIGNED if device.signed else DeviceTrust.UNSIGNED
                return Writer(trust, device.device_id, owner.identity_key)
        # An Olm channel of a device that names another's signing key is made up; one of no device that we know may be
        # of a deleted one.
        return Writer(DeviceTrust.MISMATCH if found else DeviceTrust.UNKNOWN, identity_key=owner.identity_key)
