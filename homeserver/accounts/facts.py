"""What one look at an account says of it, in the words of the heart."""

from __future__ import annotations

from homeserver.accounts.models import User
from removal.facts import Facts


def facts_of(user: User) -> Facts:
    """What one look at an account says; devices, rooms and files aren't counted."""
    return Facts(
        displayname=user.displayname,
        created_ts=user.creation_ts,
        last_seen_ts=user.last_seen_ts,
        threepids=user.threepid_media,
        sso_providers=user.external_ids,
        admin=user.admin,
        deactivated=user.deactivated,
        half_deactivated=user.half_deactivated,
        erased=user.erased,
        suspended=user.suspended,
        locked=user.locked,
        shadow_banned=user.shadow_banned,
        guest=user.is_guest,
        appservice=user.appservice_id is not None,
    )
