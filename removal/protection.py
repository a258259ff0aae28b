"""Who may never be the target of a removal, and which removals make no sense. Pure rules, in the order they're told."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from removal.facts import Facts
from removal.ids import UserID, matches_any
from removal.plan import Aim, Options


class Refusal(StrEnum):
    """Why an account isn't removed."""

    OTHER_SERVER = "other_server"
    THE_BOT = "the_bot"
    YOURSELF = "yourself"
    PROTECTED = "protected"
    MODERATOR = "moderator"
    UNKNOWN = "unknown"
    SERVER_ADMIN = "server_admin"
    APPSERVICE = "appservice"
    GUEST = "guest"
    SUSPENDED = "suspended"
    LOCKED = "locked"
    ALREADY_DEACTIVATED = "already_deactivated"
    ALREADY_ERASED = "already_erased"
    NOT_DEACTIVATED = "not_deactivated"
    LAST_MODERATOR = "last_moderator"
    NOT_ALLOWED = "not_allowed"
    TOO_MANY = "too_many"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the rules need to know beside the account itself."""

    bot_id: str
    server_name: str
    protected: tuple[str, ...]
    moderators: Collection[str]
    """Everybody who could moderate now: joined or not, by power level or by the settings."""
    acting: Collection[str] = ()
    """Those of them who are in the admin room and can command the bot."""


def refuse_name(target_id: str, requester_id: str, around: Surroundings) -> Refusal | None:
    """The refusals of a moderator's removal that need no question to the homeserver, or None."""
    if UserID.parse(target_id).server_name != around.server_name:
        return Refusal.OTHER_SERVER
    if target_id == around.bot_id:
        return Refusal.THE_BOT
    if target_id == requester_id:
        return Refusal.YOURSELF
    if matches_any(target_id, around.protected):
        return Refusal.PROTECTED
    if target_id in around.moderators:
        return Refusal.MODERATOR
    return None


def refuse_own(user_id: str, around: Surroundings, allowed: tuple[str, ...]) -> Refusal | None:
    """The refusals of a person's own removal that need no question to the homeserver, or None.

    Args:
        allowed: globs of those who may ask (setting `self_service.allowed_users`).
    """
    if UserID.parse(user_id).server_name != around.server_name:
        return Refusal.OTHER_SERVER
    if user_id == around.bot_id:
        return Refusal.THE_BOT
    if matches_any(user_id, around.protected):
        return Refusal.PROTECTED
    if not matches_any(user_id, allowed):
        return Refusal.NOT_ALLOWED
    if user_id in around.acting and len(around.acting) == 1:
        return Refusal.LAST_MODERATOR
    return None


def refuse_account(facts: Facts | None, options: Options, *, own: bool = False) -> Refusal | None:
    """The refusals that follow from the account's state on the homeserver (`None`: it knows no such account)."""
    if facts is None:
        return Refusal.UNKNOWN
    if facts.admin:
        return Refusal.SERVER_ADMIN
    if facts.appservice:
        return Refusal.APPSERVICE
    if own and facts.guest:
        return Refusal.GUEST
    if options.aim is Aim.REACTIVATE and not (facts.deactivated or facts.half_deactivated):
        return Refusal.NOT_DEACTIVATED
    if options.removes and facts.deactivated and facts.erased:
        return Refusal.ALREADY_ERASED
    if options.removes and facts.deactivated and not options.erase:
        return Refusal.ALREADY_DEACTIVATED
    if own and facts.suspended:
        return Refusal.SUSPENDED
    if own and facts.locked:
        return Refusal.LOCKED
    return None
