"""The running bot: everything wired together, started in order, and stopped in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import aiohttp

from cli.accounts import Mismatch, found_service, open_accounts
from cli.admin_room import pinned_admin_room
from cli.data_dir import CannotRun, stand_by
from cli.findings import explain
from cli.mail import mail_server
from cli.monitoring import Monitoring, keep_watchdog_quiet, notify
from cli.standing import Standing, explain_standing, standing
from config import Settings
from engine.clock_watch import ClockWatch
from engine.housekeeping import Housekeeping, Kept
from engine.messages import CurrentAdminRoom, Pages
from engine.metrics import Doctor, Metrics
from engine.only_one import OnlyOne
from engine.pace_keeper import PaceKeeper
from engine.receipt_mail import ReceiptMail
from engine.receiver import CLOCKS_DIFFER_MS, Receiver
from engine.runner import Runner
from engine.second_factor import KeyLost, Seeds
from engine.sender import OutboxSender
from engine.steps import Steps
from engine.unbroken import finish
from engine.unit_of_work import Clock, UnitsOfWork
from engine.wave_job import Tools
from engine.wave_runner import WaveRunner
from engine.wave_steps import WaveSteps
from handlers.admin_room.commands import for_admin_room
from handlers.admin_room.gate import AdminRoomGate
from handlers.admin_room.moderators import ModeratorIdentities
from handlers.admin_room.policy_watch import PolicyWatch
from handlers.admin_room.report_watch import ReportWatch
from handlers.admin_room.upgrade import Upgrade
from handlers.admin_room.watch import Watch
from handlers.admin_room.wave_watch import WaveWatch
from handlers.authority import Authority, Policy
from handlers.context import Context
from handlers.direct.commands import for_direct_messages
from handlers.direct.gate import DirectGate
from handlers.direct.room import DirectRoomFinder
from handlers.dispatch import Dispatcher
from handlers.invites import Invites
from handlers.recheck import Recheck
from handlers.sole_admin_counter import SoleAdminCounter
from handlers.undecryptable import Undecryptable
from homeserver.accounts.backend import AccountBackend
from homeserver.accounts.mas import SynapseWithMas
from homeserver.accounts.mas_tokens import CredentialsRefused
from homeserver.accounts.reports import Reports
from homeserver.accounts.search import AccountSearch
from homeserver.client.api import BadToken, HomeserverError
from homeserver.client.backoff import Backoff
from homeserver.client.clock import HomeserverClock
from homeserver.client.credentials import DeadToken, StoreLock
from homeserver.client.files import Files
from homeserver.client.matrix_client import MatrixClient
from homeserver.client.pace import Pace, PacedApi
from homeserver.client.reach import OTHERS, Reach, look
from homeserver.client.rooms import Rooms
from homeserver.client.running import Running, RunningNote
from homeserver.client.stopping import Stopped, unless
from homeserver.client.timeline import parse
from homeserver.encryption.cross_signing import IdentityStatus
from removal.incoming import Incoming, SyncBatch
from storage import second_factors
from storage.database import FILE, Database
from texts import plain, texts_in
from version import VERSION
from web.proving import Proving
from web.server import PageServer

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


async def run(settings: Settings, stop: asyncio.Event, clock: Clock | None = None, *, standby: bool = False) -> None:
    """Runs the bot until `stop` is set.

    Args:
        standby: where another bot runs on the same data directory, waits for its end instead of giving up.
        clock: gives the time in milliseconds since 1970; the homeserver's where there is none. Only a HomeserverClock
            is compared with this machine's.

    Raises:
        CannotRun: something has to be fixed first.
        engine.only_one.AnotherRuns: an older bot runs with the same account.
        homeserver.client.credentials.DeadToken: the homeserver doesn't accept the access token any more.
        StorageError: the database can't be used.
    """
    lock = StoreLock(settings.data_dir)
    if standby:
        try:
            await unless(stop, stand_by(lock, settings.data_dir))
        except Stopped:
            return
    compared = clock if isinstance(clock, HomeserverClock) else HomeserverClock()
    metrics = Metrics(VERSION)
    matrix = matrix_client(settings, clock=compared, observe=metrics.answered, lock=lock)
    database = Database(settings.data_dir / FILE)
    only_one = OnlyOne(RunningNote(lambda: matrix.api, settings.homeserver.user_id), compared)
    async with aiohttp.ClientSession() as session:  # for what is asked before there is a token, and for MAS

        async def arrive() -> AccountBackend:
            accounts = await _arrive(settings, session, matrix)
            await only_one.begin(lock.last_run())
            lock.note_run(only_one.run)
            return accounts

        await run_with(settings, matrix, database, arrive, stop, compared, clock, metrics, only_one)


def matrix_client(settings: Settings, **options: Any) -> MatrixClient:
    """The client of the account that the settings name; `options` as for MatrixClient."""
    home = settings.homeserver
    return MatrixClient(
        home.url,
        home.user_id,
        settings.data_dir,
        home.password.get_secret_value() if home.password else None,
        home.access_token.get_secret_value() if home.access_token else None,
        home.device_id,
        **options,
    )


async def run_with(
    settings: Settings,
    matrix: MatrixClient,
    database: Database,
    arrive: Callable[[], Coroutine[Any, Any, AccountBackend]],
    stop: asyncio.Event,
    compared: HomeserverClock,
    clock: Clock | None = None,
    metrics: Metrics | None = None,
    only_one: OnlyOne | None = None,
) -> None:
    """Runs the bot on a Matrix client and a database that are made already, and closes both. Raises as `run`.

    Args:
        arrive: starts the client, and says who keeps the accounts.
        only_one: sees to it that no other bot runs with this account.
    """
    try:
        accounts = await unless(stop, arrive())
        await database.open()
        rooms = Rooms(matrix.api)
        room_id = await unless(stop, _ready(settings, rooms, accounts, database))
        now = clock or compared
        counted = metrics or Metrics(VERSION)
        await _serve(settings, matrix, rooms, accounts, database, room_id, stop, compared, now, counted, only_one)
    except Stopped:
        pass  # before anything was begun
    finally:
        if only_one is not None:
            await only_one.end()
        await matrix.close()
        await database.close()


async def _arrive(settings: Settings, session: aiohttp.ClientSession, matrix: MatrixClient) -> AccountBackend:
    """Logs in, or resumes the stored session, after finding out who keeps the accounts.

    Waits while the homeserver is down.

    Raises:
        CannotRun: it isn't Synapse, or the settings don't say how to remove accounts of such a server.
        MatrixError: the bot can't be on Matrix like this.
    """
    home = settings.homeserver
    found = await look(session, home.url)
    if found.reach is not Reach.SYNAPSE:  # waited for all the same: an address may come back
        words = explain(texts_in(settings.language, settings.command_prefix), found, home.url)
        if found.reach in OTHERS.values():
            raise CannotRun(words)
        log.error("%s", words)
    # Checked first: such a server also refuses a log-in with a password, and its error doesn't say why.
    try:
        service = await _answered(lambda: found_service(settings, session))
    except Mismatch as mismatch:
        raise CannotRun(str(mismatch)) from None
    await matrix.start()
    return open_accounts(settings, service, session, matrix.api)


async def _ready(settings: Settings, rooms: Rooms, accounts: AccountBackend, database: Database) -> str:
    """Makes sure that the bot can remove accounts, and says which room it obeys; waits while the homeserver is down.

    Raises:
        CannotRun: it can't, or the room isn't clear.
        DeadToken: the homeserver doesn't accept the access token any more.
    """
    if not await _answered(accounts.is_admin):
        raise CannotRun(
            "The bot's account isn't a server admin, so it can't remove anyone. "
            + (
                "Its token has to be one with admin rights; see docs/install-mas.md."
                if isinstance(accounts, SynapseWithMas)
                else 'Make it one (PUT /_synapse/admin/v1/users/<user_id>/admin with {"admin": true}); see the README.'
            )
        )
    if (
        isinstance(accounts, SynapseWithMas)
        and (name := await _answered(accounts.mas.server_name)) != settings.homeserver.server_name
    ):
        raise CannotRun(
            f"homeserver.mas leads to the MAS of {name}, but the bot is an account of {settings.homeserver.server_name}"
        )
    room_id = await _answered(lambda: pinned_admin_room(settings, rooms, database))
    user_id = settings.homeserver.user_id
    how, _ = await _answered(lambda: standing(rooms, accounts, room_id, user_id))
    if how is not Standing.JOINED:
        log.warning("%s", explain_standing(texts_in(settings.language, settings.command_prefix), how, room_id, user_id))
    return room_id


async def _answered(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Repeats a call until the homeserver gives a usable answer.

    Raises:
        CannotRun: MAS doesn't let the bot in.
        DeadToken: the homeserver doesn't accept the access token any more.
    """
    backoff = Backoff()
    while True:
        try:
            return await ask()
        except CredentialsRefused as error:
            raise CannotRun(f"{error}. See docs/install-mas.md.") from None
        except HomeserverError as error:
            if isinstance(error, BadToken) and error.errcode == "M_UNKNOWN_TOKEN":
                raise DeadToken(f"the homeserver no longer takes the access token ({error})") from None
            wait = backoff.next_wait(error)
            log.warning("The homeserver doesn't answer yet: %s. Trying again in %.0f s.", error, wait)
            await asyncio.sleep(wait)


async def _serve(
    settings: Settings,
    matrix: MatrixClient,
    rooms: Rooms,
    accounts: AccountBackend,
    database: Database,
    admin_room_id: str,
    stop: asyncio.Event,
    compared: HomeserverClock,
    clock: Clock,
    metrics: Metrics,
    only_one: OnlyOne | None,
) -> None:
    policy = Policy.of(settings)
    admin_room = CurrentAdminRoom(admin_room_id)
    authority = Authority(rooms, accounts, policy, admin_room)
    texts = texts_in(settings.language, settings.command_prefix)
    if matrix.identity.status is not IdentityStatus.OK:
        words = texts.word("check", f"identity_{matrix.identity.status.value}", detail=matrix.identity.detail)
        log.error("%s", plain(str(words)))
    known = compared if clock is compared else None
    page_url = settings.self_service.web.public_url if settings.self_service.enabled else None
    pages = Pages(page_url, accounts.service.deactivation_page if accounts.service else None)
    code_wanted = settings.confirmation.second_factor == "totp"
    units = UnitsOfWork(database, texts, clock, admin_room, known, metrics.changed, pages, code_wanted=code_wanted)

    async def event_of(room_id: str, event_id: str) -> Incoming | None:
        raw = await rooms.event(room_id, event_id)
        event = None if raw is None else parse(raw, room_id)
        event = None if event is None else await matrix.decrypt(event)
        return None if event is None or event.undecryptable else event

    def synced_ts() -> int:
        """All that was sent before this time has been received."""
        last = matrix.last_synced_ts
        return 0 if last is None else clock() - (compared() - last) - CLOCKS_DIFFER_MS

    seeds = await _seeds(settings, database)
    context = Context(units, authority, accounts, settings, Files(matrix.api), seeds, event_of)
    receiver = Receiver(units, policy.bot_id)
    outbox_sender = OutboxSender(units, matrix, admin_room, DirectRoomFinder(context, rooms))
    runner = Runner(
        units,
        Steps(accounts),
        Recheck(context),
        synced_ts,
        observe=metrics.step_ended,
    )
    doctor = Doctor(database, lambda: matrix.last_synced_ts, clock)
    pace = Pace(settings.bulk.side_by_side)
    paced = PacedApi.beside(matrix.api, pace)
    paced_accounts = accounts.paced(pace)
    wave_watch = WaveWatch(context, paced_accounts, AccountSearch(paced))
    wave_steps = WaveSteps(paced_accounts, wave_watch.protected)
    tools = Tools(units, wave_steps, pace, PaceKeeper(pace, wave_steps.turns, lambda: accounts.user(policy.bot_id)))
    wave_runner = WaveRunner(tools, wave_watch, synced_ts)
    prefix = settings.command_prefix
    watch = Watch(context)
    upgrade = Upgrade(context, matrix, watch)
    policies = PolicyWatch(context, matrix, AccountSearch(paced))
    dispatcher = Dispatcher(
        context,
        AdminRoomGate(context, for_admin_room(prefix), ModeratorIdentities(context, matrix), watch, upgrade),
        DirectGate(context, for_direct_messages(prefix)),
        Invites(context, matrix, upgrade, policies),
        policies,
    )

    async def back() -> None:
        """The homeserver answers again: what waits is tried at once, and only then does the back-off go on."""
        outbox_sender.nudge()
        runner.nudge()
        wave_runner.nudge()
        units.notify()

    async def store(batch: SyncBatch) -> None:
        await receiver.store(batch)
        if only_one is not None and batch.running is not None:
            only_one.heard(Running.read(batch.running))

    proving = Proving(units, accounts, matrix.api, settings.homeserver.url, settings.self_service.web.client_id)
    kept = Kept(settings.audit.retention, settings.requests.delete_after, settings.audit.delete_after)
    # First: what is handled meanwhile is refused where the clocks differ, and people should know why.
    clock_watch = ClockWatch(units, compared, admin_room)
    await clock_watch.look()
    since = await receiver.since()
    log.info("Lethe is running as %s, admin room %s", policy.bot_id, admin_room_id)
    tasks = [
        asyncio.create_task(work, name=name)
        for name, work in {
            "sync": matrix.sync_forever(since, store, stop, receiver.poll_ms, back),
            "dispatcher": dispatcher.run(),
            "outbox sender": outbox_sender.run(),
            "runner": runner.run(),
            "wave runner": wave_runner.run(),
            "wave watch": wave_watch.run(),
            "unreadable": Undecryptable(context, receiver, matrix.decrypt).run(),
            "counting": SoleAdminCounter(context).run(),
            "clock": clock_watch.run(),
            "watch": _look_at_admin_room(watch, upgrade),
            "watchdog": keep_watchdog_quiet(doctor),
            "log-ins": proving.run(),
            "housekeeping": Housekeeping(units, context.files, kept).run(),
            "receipts": ReceiptMail(units, mail_server(settings.receipt.smtp)).run(),
        }.items()
    ]
    if settings.reports.enabled:
        tasks.append(asyncio.create_task(ReportWatch(context, Reports(matrix.api)).run(), name="reports"))
    if settings.policy_rooms:
        tasks.append(asyncio.create_task(policies.run(), name="policy lists"))
    if only_one is not None:
        tasks.append(asyncio.create_task(only_one.listen(units, admin_room), name="only one"))
    stopping = asyncio.create_task(stop.wait())
    notify("READY=1")
    try:
        async with AsyncExitStack() as listening:
            if (address := settings.monitoring.address) is not None:
                await _listen(listening, Monitoring(doctor, metrics), "monitoring.listen", *address)
            if page_url is not None and (address := settings.self_service.web.address) is not None:
                await _listen(listening, PageServer(context, proving), "self_service.web.listen", *address)
            await _until_stopped(stop, {stopping, *tasks})
            log.info("Stopping once what is under way has ended")
            notify("STOPPING=1")
        await finish(units.unbroken, outbox_sender.emptied)
    finally:
        for task in (stopping, *tasks):
            task.cancel()
        await asyncio.gather(stopping, *tasks, return_exceptions=True)
        log.info("Lethe has stopped")


async def _seeds(settings: Settings, database: Database) -> Seeds | None:
    """What opens the second factors; None where the settings ask for none. Raises: CannotRun."""
    if settings.confirmation.second_factor == "none":
        return None
    async with database.transaction(only_reading=True) as tx:
        used = await second_factors.any_left(tx)
    path = settings.confirmation.second_factor_key_file or settings.data_dir / second_factors.KEY_FILE
    try:
        return Seeds.at(path, may_make=not used)
    except KeyLost as error:
        raise CannotRun(str(error)) from None


async def _listen(stack: AsyncExitStack, listener: Monitoring | PageServer, key: str, host: str, port: int) -> None:
    """Args: key: the setting that names the address."""
    try:
        await stack.enter_async_context(listener.listening(host, port))
    except OSError as error:
        raise CannotRun(f"{key}: {host}:{port} can't be listened on: {error.strerror}") from None


async def _until_stopped(stop: asyncio.Event, tasks: set[asyncio.Task[Any]]) -> None:
    """Waits for the end, or raises what ended a task."""
    pending = tasks
    while not stop.is_set():
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if not task.cancelled() and (error := task.exception()):
                raise _cause(error)  # stop the process rather than run without one of its tasks


def _cause(error: BaseException) -> BaseException:
    """The first error inside an exception group of a TaskGroup, or the error itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _look_at_admin_room(watch: Watch, upgrade: Upgrade) -> None:
    """Reports what changed in the admin room while the bot was not running, and follows an upgrade of the room."""
    await _answered(watch.look)
    await _answered(upgrade.look)
