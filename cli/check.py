"""`bot.py check`: tries everything the bot needs, and says in plain words what is missing and what mends it.

It only looks, unless it is told to mend what is safe to mend (`--fix`).

It works beside a running bot: it uses the stored token and uploads no keys. With no token stored it logs in, looks,
and logs out again.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from cli.accounts import Mismatch, found_service, open_accounts
from cli.findings import Report, print_config_problems
from cli.machine import look_at_data_dir
from cli.mail import mail_server
from cli.opening import Unusable, settings_of
from cli.speaking import texts_of
from cli.standing import Standing, standing
from cli.try_mas import try_mas
from cli.versions import look_at_version
from config import Settings, warnings
from engine.mail import MailError, try_out
from handlers.authority import AdminRoom, Policy
from homeserver.accounts.detection import AuthService
from homeserver.accounts.mas import SynapseWithMas
from homeserver.accounts.mas_tokens import CredentialsRefused
from homeserver.client.api import Api, HomeserverError, RateLimited
from homeserver.client.clock import REFUSE_MS, WARN_MS, HomeserverClock
from homeserver.client.credentials import KEYS, Credentials, DeadToken, MatrixError, keys_file
from homeserver.client.login import login, logout, whoami
from homeserver.client.reach import Reach, look
from homeserver.client.rooms import Rooms, RoomState
from homeserver.client.setting_up import set_name
from homeserver.encryption.cross_signing import CrossSigning, IdentityStatus, Seeds
from homeserver.encryption.signing import read_owner
from removal.ids import UserID
from removal.times import format_duration
from storage import meta
from storage.database import FILE, StorageError, refuse_newer
from texts import Texts

log = logging.getLogger(__name__)


def main(options: argparse.Namespace) -> int:
    """Looks at everything that the settings lead to; returns the exit code.

    Raises:
        Ended: the settings can't be used, and nobody wants it as JSON.
    """
    try:
        settings = settings_of(options.config, warn=False)
        texts_of(options.config, settings)
    except Unusable as error:
        if not options.json:
            raise
        print_config_problems(error.problems)
        return error.code
    known = warnings(options.config, settings)
    return asyncio.run(check(settings, known, as_json=options.json, fixing=options.fix, try_with=options.try_mas))


async def check(
    settings: Settings, known: list[str], *, as_json: bool = False, fixing: bool = False, try_with: str | None = None
) -> int:
    """Looks at everything.

    Args:
        known: sentences about the settings themselves.
        as_json: for machines, see `Finding`.
        try_with: an account that MAS is tried with, and that is gone afterwards.
        fixing: mends what is safe to mend: the rate limit, file modes, the display name.

    Returns:
        The process's exit code: 0 where the bot could run, 1 where something is missing.
    """
    report = Report(Texts(settings.language, settings.command_prefix), as_json=as_json, fixing=fixing)
    try:
        look_at_data_dir(settings.data_dir, report)
        refuse_newer(settings.data_dir / FILE)
        look_at_settings(settings, known, report)
        await look_at_mail(settings, report)
        async with aiohttp.ClientSession() as session:
            if await _reachable(session, settings.homeserver.url, report):
                await _look_inside(settings, session, report, try_with)
    except Mismatch as mismatch:
        report.bad("mismatch", sentence=str(mismatch))
    except RateLimited as error:
        report.bad("too_many_logins", wait_ms=round((error.retry_after or 60) * 1000))
    except HomeserverError as error:
        report.bad("unreachable", url=settings.homeserver.url, error=str(error))
    except (MatrixError, StorageError, OSError) as error:
        report.bad("broken", error=str(error))
    return report.end()


async def _reachable(session: aiohttp.ClientSession, url: str, report: Report) -> bool:
    found = await look(session, url)
    if found.reach is Reach.SYNAPSE:
        return True
    report.bad(f"reach_{found.reach}", asked=url, url=found.url, detail=found.detail)
    return False


async def _look_inside(
    settings: Settings, session: aiohttp.ClientSession, report: Report, try_with: str | None
) -> None:
    # First: where accounts live elsewhere, a log-in with a password fails, and its answer explains nothing.
    clock = HomeserverClock()
    service = await found_service(settings, session, clock)
    look_at_clock(clock, report)
    report.good("mas" if service else "no_mas", issuer=service.issuer if service else "")
    async with _logged_in(settings, session, report) as api:
        if api is not None:
            await look_at_homeserver(settings, service, session, api, report)
            await look_at_identity(settings, api, report)
            if try_with is not None and not report.failed:
                accounts = open_accounts(settings, service, session, api)
                if isinstance(accounts, SynapseWithMas):
                    await try_mas(settings, accounts, try_with, report)
                else:
                    report.bad("try_no_mas")


def look_at_settings(settings: Settings, known: list[str], report: Report) -> None:
    """Settings that work and that the admin should know about."""
    for sentence in known:
        report.warn("setting", sentence=sentence)
    own = settings.self_service
    if own.enabled:
        report.good("self_service_on", period=format_duration(own.grace_period))
    else:
        report.good("self_service_off")


async def look_at_mail(settings: Settings, report: Report) -> None:
    """Whether the mail server takes what the bot would send, where there is one. Sends nothing."""
    server = mail_server(settings.receipt.smtp)
    if server is None:
        return
    try:
        await try_out(server)
    except MailError as error:
        report.bad("mail_refused", host=server.host, port=server.port, error=str(error))
    else:
        report.good("mail_ready", host=server.host, port=server.port)


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
    if stored is not None and stored.user_id != home.user_id:
        report.bad("data_dir_foreign", path=str(settings.data_dir), user=stored.user_id, wanted=home.user_id)
        yield None
        return
    token = home.access_token.get_secret_value() if home.access_token else stored.access_token if stored else None
    if token is not None:
        api = Api(session, home.url, token)
        try:
            user_id, device_id = await whoami(api)
        except DeadToken:
            if home.password is None:
                raise
            report.warn("stale_token")  # the bot would do the same: log in again
        else:
            if user_id != home.user_id:
                report.bad("wrong_account", user=user_id, wanted=home.user_id)
                yield None
                return
            if device_id is None:
                report.bad("token_without_device", user=user_id)
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


async def look_at_mas(settings: Settings, accounts: SynapseWithMas, report: Report) -> bool:
    """MAS's admin API: whether it lets the bot in, and whether it is this server's. Whether all is well."""
    try:
        version, name = await accounts.mas.version(), await accounts.mas.server_name()
    except CredentialsRefused as error:
        report.bad("mas_refused", error=str(error))
        return False
    if name != settings.homeserver.server_name:
        report.bad("mas_of_another", name=name, wanted=settings.homeserver.server_name)
        return False
    report.good("mas_open", version=version)
    return True


async def look_at_homeserver(
    settings: Settings, service: AuthService | None, session: aiohttp.ClientSession, api: Api, report: Report
) -> None:
    """Everything that only the homeserver can tell."""
    synapse, rooms = open_accounts(settings, service, session, api), Rooms(api)
    if isinstance(synapse, SynapseWithMas) and not await look_at_mas(settings, synapse, report):
        return
    if not await synapse.is_admin():
        report.bad("no_admin_mas" if service else "no_admin", user=settings.homeserver.user_id)
        return
    look_at_version(await synapse.server_version(), report)
    user_id = settings.homeserver.user_id
    override = await synapse.override_ratelimit(user_id)
    if override is not None and override.messages_per_second == 0:
        report.good("not_rate_limited")
    else:
        if report.fixing:
            await synapse.lift_ratelimit(user_id)
        (report.fixed if report.fixing else report.warn)("rate_limited", user=user_id)
    if ((await synapse.profile(user_id)) or {}).get("displayname") in (None, "", UserID.parse(user_id).localpart):
        if report.fixing:
            await set_name(api, user_id, str(Texts().word("init", "name")))
        (report.fixed if report.fixing else report.warn)("no_name", user=user_id)
    room_id = await _admin_room(settings, rooms, report)
    if room_id is None:
        return
    how, state = await standing(rooms, synapse, room_id, user_id)
    if state is None:
        say = report.warn if how is Standing.INVITED else report.bad
        say(f"admin_room_{how}", room=room_id, user=user_id)
        return
    report.good("admin_room_joined", room=room_id)
    look_at_admin_room(settings, room_id, state, report)


async def look_at_identity(settings: Settings, api: Api, report: Report) -> None:
    """Whether the bot's device is signed by an identity that is its own, as other people's clients want it."""
    try:
        Seeds.load(settings.data_dir)
    except ValueError as error:
        report.bad("identity_damaged", error=str(error))
        return
    user_id, device_id = await whoami(api)
    shown = await api.call("POST", "/_matrix/client/v3/keys/query", json={"device_keys": {user_id: []}})
    device = read_owner(shown, user_id).devices.get(device_id or "")
    if device is None:
        return  # it has no keys yet: it was never started, or this is the session of this check
    if not keys_file(settings.data_dir, device.device_id).exists():
        report.bad("keys_lost", device=device.device_id, path=str(settings.data_dir / KEYS))
        return
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
    if state.encrypted:
        report.good("encrypted")
    else:
        report.warn("not_encrypted")
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
    admin_room = AdminRoom(room_id, state, Policy.of(settings))
    entitled = admin_room.moderators()
    if entitled:
        report.good("moderators", count=len(entitled))
    elif invited := sorted(admin_room.could_moderate() & state.invited()):
        report.warn("moderators_invited", users=invited)
    else:
        report.bad("nobody_moderates", level=level)
