"""`bot.py check`: tries everything the bot needs, read-only, and says in plain words what is missing.

It works beside a running bot: it uses the stored token and uploads no keys. With no token stored it logs in, looks,
and logs out again.
"""

from __future__ import annotations

import logging
import math
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

import aiohttp

from config import Settings
from handlers.authority import AdminRoom, Policy
from homeserver.accounts.detection import uses_mas
from homeserver.accounts.synapse import Synapse
from homeserver.client.api import Api, BadToken, Forbidden, HomeserverError
from homeserver.client.clock import REFUSE_MS, WARN_MS, HomeserverClock
from homeserver.client.credentials import Credentials, DeadToken, MatrixError
from homeserver.client.login import login, logout, whoami
from homeserver.client.rooms import Rooms, RoomState
from homeserver.encryption.cross_signing import CrossSigning, IdentityStatus
from homeserver.encryption.signing import read_owner
from removal.times import format_duration
from storage import meta
from storage.database import FILE, StorageError
from texts import Texts, plain

log = logging.getLogger(__name__)


class Mark(StrEnum):
    """The result of one check."""

    GOOD = "✓"
    WARNING = "!"
    BAD = "✗"


class Report:
    """Prints each finding, and remembers whether anything is missing."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self.failed = False

    def say(self, mark: Mark, key: str, **values: Any) -> None:
        """Prints the words `check.<key>`."""
        self.failed |= mark is Mark.BAD
        print(f"{mark} {plain(str(self._texts.word('check', key, **values)))}")

    def good(self, key: str, **values: Any) -> None:
        self.say(Mark.GOOD, key, **values)

    def warn(self, key: str, **values: Any) -> None:
        self.say(Mark.WARNING, key, **values)

    def bad(self, key: str, **values: Any) -> None:
        self.say(Mark.BAD, key, **values)


async def main(settings: Settings, warnings: list[str]) -> int:
    """Runs all checks.

    Args:
        warnings: sentences about the settings themselves.

    Returns:
        The process's exit code: 0 where the bot could run, 1 where something is missing.
    """
    report, clock = Report(Texts(settings.language, settings.command_prefix)), HomeserverClock()
    look_at_data_dir(settings.data_dir, report)
    look_at_settings(settings, warnings, report)
    try:
        async with aiohttp.ClientSession() as session:
            # First: where accounts live elsewhere, a log-in with a password fails, and its answer explains nothing.
            delegated = await uses_mas(Api(session, settings.homeserver.url, None, clock))
            look_at_clock(clock, report)
            if delegated:
                report.bad("mas")
            else:
                report.good("no_mas")
                async with _logged_in(settings, session, report) as api:
                    if api is not None:
                        await look_at_homeserver(settings, api, report)
                        await look_at_identity(settings, api, report)
    except HomeserverError as error:
        report.bad("unreachable", url=settings.homeserver.url, error=str(error))
    except (MatrixError, StorageError, OSError) as error:
        report.bad("broken", error=str(error))
    if report.failed:
        report.bad("verdict_bad")
        return 1
    report.good("verdict_good")
    return 0


def look_at_data_dir(path: Path, report: Report) -> None:
    """The data directory: there, writable, and nobody else's."""
    if not path.exists():
        parent = next(p for p in path.absolute().parents if p.exists())
        if os.access(parent, os.W_OK):
            report.good("data_dir_new", path=str(path))
        else:
            report.bad("data_dir_unmakable", path=str(path))
        return
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        report.bad("data_dir_unusable", path=str(path))
        return
    loose = [p for p in (path, *path.rglob("*")) if _open_to_others(p)]
    if loose:
        report.bad("data_dir_open", path=str(path), files=[str(p) for p in loose[:5]])
    else:
        report.good("data_dir", path=str(path))


def _open_to_others(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False  # a running bot's databases have files that come and go
    return bool(stat.S_IMODE(mode) & 0o077) and not stat.S_ISLNK(mode)


def look_at_settings(settings: Settings, warnings: list[str], report: Report) -> None:
    """Settings that work and that the admin should know about."""
    for sentence in warnings:
        report.warn("setting", sentence=sentence)
    own = settings.self_service
    if own.enabled:
        report.good("self_service_on", period=format_duration(own.grace_period))
    else:
        report.good("self_service_off")


def look_at_clock(clock: HomeserverClock, report: Report) -> None:
    """How far the homeserver's clock is ahead of this machine's."""
    if abs(clock.offset_ms) >= REFUSE_MS:
        report.bad("clock_wrong", offset_ms=clock.about_ms)
    elif abs(clock.offset_ms) >= WARN_MS:
        report.warn("clock_off", offset_ms=clock.about_ms)
    else:
        report.good("clock_right")


@asynccontextmanager
async def _logged_in(settings: Settings, session: aiohttp.ClientSession, report: Report) -> AsyncIterator[Api | None]:
    """An API with a token: the configured one, the stored one, or one that ends when this is left."""
    home = settings.homeserver
    stored = Credentials.load(settings.data_dir)
    token = home.access_token.get_secret_value() if home.access_token else stored.access_token if stored else None
    if token is not None:
        api = Api(session, home.url, token)
        try:
            user_id, _device_id = await whoami(api)
        except DeadToken:
            if home.password is None:
                raise
            report.warn("stale_token")  # the bot would do the same: log in again
        else:
            if user_id != home.user_id:
                report.bad("wrong_account", user=user_id, wanted=home.user_id)
                yield None
                return
            report.good("token", user=user_id, url=home.url)
            yield api
            return
    if home.password is None:
        report.bad("no_way_in")
        yield None
        return
    fresh = await login(Api(session, home.url, None), home.user_id, home.password.get_secret_value())
    report.good("login", user=home.user_id, url=home.url)
    api = Api(session, home.url, fresh.access_token)
    try:
        yield api
    finally:
        await logout(api)


async def look_at_homeserver(settings: Settings, api: Api, report: Report) -> None:
    """Everything that only the homeserver can tell."""
    synapse, rooms = Synapse(api), Rooms(api)
    if not await synapse.is_admin():
        report.bad("no_admin", user=settings.homeserver.user_id)
        return
    report.good("admin", version=await synapse.server_version())
    override = await synapse.override_ratelimit(settings.homeserver.user_id)
    if override is not None and override.messages_per_second == 0:
        report.good("not_rate_limited")
    else:
        report.warn("rate_limited", user=settings.homeserver.user_id)
    room_id = await _admin_room(settings, rooms, report)
    if room_id is None:
        return
    try:
        state = await rooms.state(room_id)
    except (Forbidden, BadToken):
        report.bad("admin_room_not_joined", room=room_id, user=settings.homeserver.user_id)
        return
    if state.membership(settings.homeserver.user_id) != "join":
        report.bad("admin_room_not_joined", room=room_id, user=settings.homeserver.user_id)
        return
    report.good("admin_room_joined", room=room_id)
    look_at_admin_room(settings, room_id, state, report)


async def look_at_identity(settings: Settings, api: Api, report: Report) -> None:
    """Whether the bot's device is signed by an identity that is its own, as other people's clients want it."""
    user_id, device_id = await whoami(api)
    shown = await api.call("POST", "/_matrix/client/v3/keys/query", json={"device_keys": {user_id: []}})
    device = read_owner(shown, user_id).devices.get(device_id or "")
    if device is None:
        return  # it has no keys yet: it was never started, or this is the session of this check
    signing = CrossSigning(api, settings.data_dir, user_id, device.device_id, device.ed25519, None, log)
    identity = await signing.look()
    say = report.good if identity.status is IdentityStatus.OK else report.warn
    say(f"identity_{identity.status.value}", detail=identity.detail)


async def _admin_room(settings: Settings, rooms: Rooms, report: Report) -> str | None:
    wanted = settings.admin_room
    database = settings.data_dir / FILE
    pinned = meta.peek(database, meta.ADMIN_ROOM)
    if meta.peek(database, meta.ADMIN_ROOM_SETTING) != wanted:
        pinned = None
    if not wanted.startswith("#"):
        return pinned or wanted
    found = await rooms.resolve_alias(wanted)
    if found is None and pinned is None:
        report.bad("alias_unknown", alias=wanted)
        return None
    moved = pinned is not None and found is not None and found != pinned
    if moved and not await rooms.lead_to_each_other(str(pinned), str(found)):
        report.bad("alias_moved", alias=wanted, pinned=pinned, found=found)
        return None
    return pinned or found


def look_at_admin_room(settings: Settings, room_id: str, state: RoomState, report: Report) -> None:
    """Encryption, power levels and who gets in."""
    me, level = settings.homeserver.user_id, settings.moderators.power_level
    (report.good if state.encrypted else report.warn)("encrypted" if state.encrypted else "not_encrypted")
    if settings.require_cross_signed_moderators and not state.encrypted:
        report.bad("signed_needs_encryption")
    needed = max(
        state.levels.needed_for_message("m.room.encrypted" if state.encrypted else "m.room.message"),
        state.levels.needed_for_message("m.reaction"),
    )
    if state.power(me) >= needed:
        report.good("power_of_creator" if math.isinf(state.power(me)) else "power", power=state.power(me))
    else:
        report.bad("too_little_power", power=state.power(me), needed=needed)
    if state.users_default >= level:
        report.warn("everybody_moderates", level=level, default=state.users_default)
    if state.join_rule != "invite":
        report.warn("join_rule", rule=state.join_rule)
        if state.guest_access == "can_join":
            report.warn("guests")
    if state.history_visibility == "world_readable":
        report.warn("world_readable")
    entitled = AdminRoom(room_id, state, Policy.of(settings)).moderators()
    if entitled:
        report.good("moderators", count=len(entitled))
    else:
        report.bad("nobody_moderates", level=level)
