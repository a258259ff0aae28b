"""The interface to the service that keeps the accounts, as handlers and engine need it.

`synapse.py` is one implementation.

Every method raises `homeserver.client.api.HomeserverError`: `Unreachable` and `ServerFault` say that the outcome is
unknown, `Refused` that nothing was done. No method retries or decides. What each implementation sends for a step stands
in `calls`, from which docs/steps.md is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from homeserver.accounts.detection import AuthService
from homeserver.accounts.models import (
    AccountData,
    Media,
    RedactStatus,
    RoomDetails,
    ScheduledTask,
    Threepid,
    User,
)
from homeserver.client.pace import Pace
from removal.plan import Step


class AccountBackend(Protocol):
    """The account administration of one homeserver."""

    @property
    def deactivates_later(self) -> bool:
        """Whether the answer to a deactivation only means that it is queued."""
        ...

    @property
    def token_checks_kept(self) -> int:
        """So many seconds the homeserver believes what it heard of a token in use. 0: a lock counts at once."""
        ...

    @property
    def calls(self) -> Mapping[Step, tuple[str, ...]]:
        """Step → the requests it makes, as `METHOD path` with `{parameters}`."""
        ...

    @property
    def service(self) -> AuthService | None:
        """The service beside the homeserver that keeps the accounts and logs people in; None where there is none."""
        ...

    async def is_admin(self) -> bool:
        """Whether the bot's own account may administrate accounts."""
        ...

    async def versions(self) -> Mapping[str, str]:
        """The version of each program that keeps the accounts, by its name."""
        ...

    def paced(self, pace: Pace) -> AccountBackend:
        """The same accounts, for work that may take its time: each call waits for its turn."""
        ...

    async def ensure_in_charge(self) -> None:
        """Makes sure that this is still who keeps the accounts.

        Raises:
            errors.MovedElsewhere: it isn't; to act through here would be to act by the wrong door.
        """
        ...

    # --- looking at an account ---

    async def user(self, user_id: str) -> User | None:
        """The account, or None where there never was one with this name."""
        ...

    async def find_users(self, text: str, limit: int = 3) -> list[str]:
        """Matrix IDs whose name or display name contains this text, at most `limit`; for suggestions only."""
        ...

    async def owner_of(self, medium: str, address: str) -> str | None:
        """The Matrix ID of the account that has this third-party id (`email`, `msisdn`), None where none has.

        Raises:
            errors.SeveralOwners: more than one has it.
        """
        ...

    async def server_admins(self) -> frozenset[str]:
        """Every server admin, and whoever may become one by asking. None of them is ever a target."""
        ...

    async def reports_against(self, user_id: str) -> int:
        """How many reports there are of the account and of what it wrote."""
        ...

    async def threepids(self, user_id: str) -> list[Threepid]:
        """E-mail addresses and phone numbers, for their owner only."""
        ...

    async def devices(self, user_id: str) -> list[str]:
        """The ids of the account's devices."""
        ...

    async def sessions(self, user_id: str) -> Mapping[str, int]:
        """How many log-ins are active, by kind: `devices`, and what a service beside the homeserver knows."""
        ...

    async def device_records(self, user_id: str) -> list[dict[str, Any]]:
        """The devices with all that is known of them (names, addresses), for their owner only."""
        ...

    async def joined_rooms(self, user_id: str) -> list[str]:
        """The rooms where this account is joined. Empty for unknown accounts too."""
        ...

    async def memberships(self, user_id: str) -> dict[str, str]:
        """Room id → membership, rooms left or banned from included."""
        ...

    async def in_directory(self, user_id: str) -> bool:
        """Whether the user directory shows the account to the bot."""
        ...

    async def pushers(self, user_id: str) -> int:
        """How many pushers the account has."""
        ...

    async def account_data(self, user_id: str) -> AccountData:
        """The account's data, for its owner only; `.count` is for everybody."""
        ...

    async def profile(self, user_id: str) -> dict[str, Any] | None:
        """The public profile, None where there is none."""
        ...

    # --- acting on an account: each is safe to repeat unless its implementation says otherwise ---

    async def deactivate(self, user_id: str, erase: bool) -> str:
        """Deactivates the account. The answer isn't the end: rooms are left in the background.

        Returns:
            What became of the third-party ids at identity servers: `success` or `no-support`.
        """
        ...

    async def reactivate(self, user_id: str) -> None:
        """Takes a deactivation back. Rooms, addresses and the profile don't come back; a lock stays.

        Where the homeserver keeps the passwords, there is one then that nobody knows.
        """
        ...

    async def suspend(self, user_id: str, suspended: bool) -> None:
        """Sets or clears the suspension."""
        ...

    async def has_session(self, user_id: str, device_id: str) -> bool:
        """Whether the account has a session of this device, wherever sessions are kept."""
        ...

    async def end_session(self, user_id: str, device_id: str) -> None:
        """Ends one of the account's sessions; one that isn't there is no error."""
        ...

    async def lock(self, user_id: str, locked: bool) -> None:
        """Locks or unlocks the account. Locking ends no session: they work again once it is unlocked."""
        ...

    async def lift_shadow_ban(self, user_id: str) -> None:
        """Lifts a shadow-ban, if there is one."""
        ...

    async def log_out(self, user_id: str) -> None:
        """Ends all sessions and removes all devices. Not always at once: see `sessions`."""
        ...

    async def scramble_password(self, user_id: str) -> bool:
        """Replaces the password by one that nobody knows. False where accounts here have no passwords."""
        ...

    async def remove_threepids(self, user_id: str) -> tuple[str, ...]:
        """Removes all third-party ids; returns the kinds that were removed."""
        ...

    async def remove_external_ids(self, user_id: str) -> tuple[str, ...]:
        """Removes all single sign-on links; returns the providers' names."""
        ...

    # --- what an account left behind ---

    async def redact(
        self,
        user_id: str,
        rooms: Sequence[str],
        reason: str | None = None,
        limit: int | None = None,
        since_ts: int | None = None,
    ) -> str:
        """Starts to redact the account's events, or those sent after `since_ts` (milliseconds since 1970).

        NOT safe to repeat. Returns the id for `redact_status`.
        """
        ...

    async def redact_status(self, redact_id: str) -> RedactStatus | None:
        """How far a redaction is; None once forgotten."""
        ...

    async def open_tasks(self, action_name: str) -> frozenset[str]:
        """The accounts that have a background task of this kind which hasn't ended."""
        ...

    async def scheduled_tasks(self, resource_id: str, action_name: str) -> list[ScheduledTask]:
        """The background tasks of this kind (`models.REDACTION`, `models.JOIN_STATES`) for this account."""
        ...

    async def media_total(self, user_id: str) -> int:
        """How many of the account's uploaded files are still here."""
        ...

    async def media(self, user_id: str) -> list[Media]:
        """All files the account uploaded, oldest first."""
        ...

    async def delete_media(self, user_id: str) -> int:
        """Deletes some of the account's files; returns how many. Repeat until it gives 0."""
        ...

    async def quarantine_media(self, user_id: str) -> int:
        """Makes the account's files inaccessible, but keeps them; returns how many."""
        ...

    # --- rooms ---

    async def room_details(self, room_id: str) -> RoomDetails:
        """Name, version and sizes of a room."""
        ...

    async def room_versions(self) -> frozenset[str]:
        """The room versions that this homeserver knows. A room of any other can't be left."""
        ...

    async def room_members(self, room_id: str) -> list[str]:
        """Who is joined, from here and elsewhere."""
        ...

    async def room_state(self, room_id: str, event_type: str | None = None) -> list[dict[str, Any]]:
        """The state of any room this homeserver is in, joined or not; only events of `event_type` where given."""
        ...

    async def make_room_admin(self, room_id: str, user_id: str) -> None:
        """Gives a user the power of the room's most powerful local member. Invites whoever isn't in the room."""
        ...
