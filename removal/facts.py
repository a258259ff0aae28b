"""What is known of an account when somebody asks for its removal, and what of that may not change unseen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Facts:
    """One look at an account. Times are milliseconds since 1970; None is "the homeserver doesn't say".

    Third-party ids appear by kind only (`email`, `msisdn`): the addresses themselves are never kept.
    """

    displayname: str | None = None
    created_ts: int | None = None
    last_seen_ts: int | None = None
    devices: int = 0
    rooms: int = 0
    threepids: tuple[str, ...] = ()
    sso_providers: tuple[str, ...] = ()
    media: int = 0
    admin: bool = False
    deactivated: bool = False
    half_deactivated: bool = False
    """Deactivated in the service that keeps log-ins or in the homeserver, and not in the other (yet)."""
    erased: bool = False
    suspended: bool = False
    locked: bool = False
    shadow_banned: bool = False
    guest: bool = False
    appservice: bool = False
    only_admin_in: tuple[str, ...] | None = None
    """Names of the rooms where this account is the only admin; None while that is still being counted."""


def changed_meanwhile(shown: Facts, now: Facts) -> tuple[str, ...]:
    """Names what changed in a way that matters to somebody who decided on `shown`.

    More rooms, another name or a new device don't alter what a removal is. A new right, an owner of another kind,
    or a removal that already happened do.
    """
    watched = ("admin", "deactivated", "half_deactivated", "erased", "guest", "appservice", "locked")
    return tuple(name for name in watched if getattr(shown, name) != getattr(now, name))
