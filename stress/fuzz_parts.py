"""A bot without a network, for the fuzzer: its real parsing path on real files, and a homeserver on paper."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from nio.crypto import OutboundGroupSession, OutboundSession

import config
from engine.messages import CurrentAdminRoom
from engine.receiver import Receiver
from engine.unit_of_work import UnitsOfWork
from handlers.admin_room.commands import for_admin_room
from handlers.admin_room.gate import AdminRoomGate
from handlers.admin_room.moderators import ModeratorIdentities
from handlers.admin_room.upgrade import Upgrade
from handlers.admin_room.watch import Watch
from handlers.authority import Authority, Policy
from handlers.context import Context
from handlers.direct.commands import for_direct_messages
from handlers.direct.gate import DirectGate
from handlers.dispatch import Dispatcher
from handlers.invites import Invites
from handlers.undecryptable import Undecryptable
from homeserver.accounts.synapse import Synapse
from homeserver.client.api import Api, NotFound
from homeserver.client.files import Files
from homeserver.client.incoming_json import decode
from homeserver.client.rooms import Rooms
from homeserver.client.sync import Sync
from homeserver.client.timeline import Reader
from homeserver.encryption.crypto import MEGOLM, OLM, Crypto
from homeserver.encryption.devices import Directory
from homeserver.encryption.machine import open_machine
from homeserver.encryption.signing import encode
from storage import conversations, inbox, outbox
from storage.database import FILE, Database
from texts import Texts

SERVER = "lethe.test"
BOT, MODERATOR, MEMBER, TARGET = (f"@{name}:{SERVER}" for name in ("lethe", "moderator", "member", "target"))
ADMIN, DIRECT = "!admin:lethe.test", "!direct:lethe.test"
_READS = {"POST": ("/keys/query", "/keys/upload", "/keys/claim"), "GET": ("",)}


class Paper(Api):
    """A homeserver that answers from what stands here, and notes whatever would have changed something."""

    def __init__(self) -> None:
        super().__init__(None, "http://paper", None)  # type: ignore[arg-type] # never asked
        self.sync: list[dict[str, Any]] = []
        self.state: list[dict[str, Any]] = []
        self.direct_state: list[dict[str, Any]] = []
        self.devices: dict[str, Any] = {}
        self.harm: list[str] = []
        self.stop = asyncio.Event()

    async def call(self, method: str, path: str, *ids: str, json: Any = None, **options: Any) -> dict[str, Any]:
        if path.endswith("/media/v1/create"):  # a file that the bot sends: it changes no account
            return {"content_uri": "mxc://lethe.test/reserved"}
        if not any(each in path for each in _READS.get(method, ())):
            self.harm.append(f"{method} {path} {ids}")
        if path.endswith("/sync"):
            if not self.sync:
                self.stop.set()
                await asyncio.Event().wait()
            answer: dict[str, Any] = _as_sent(self.sync.pop(0))
            return answer
        if path.endswith("/keys/query"):
            return {"device_keys": {user: self.devices.get(user, {}) for user in (json or {}).get("device_keys", {})}}
        if path.endswith(("/keys/upload", "/keys/claim")):
            return {"one_time_key_counts": {}, "one_time_keys": {}}
        if path.endswith("/state") and "_synapse" in path:
            return {"state": _as_sent(self.direct_state if ids == (DIRECT,) else self.state)}
        found = _about(path, ids)
        if found is None:
            raise NotFound("not here", 404, "M_NOT_FOUND")
        return found

    async def upload(self, path: str, *ids: str, **options: Any) -> dict[str, Any]:
        return {}

    async def call_list(self, method: str, path: str, *ids: str, **options: Any) -> list[dict[str, Any]]:
        state: list[dict[str, Any]] = _as_sent(self.direct_state if ids == (DIRECT,) else self.state)
        return state


def _as_sent(answer: Any) -> Any:
    """An answer as it comes through the door that `Api` has for all JSON."""
    return decode(json.dumps(answer).encode())


def _about(path: str, ids: tuple[str, ...]) -> dict[str, Any] | None:
    """What the admin API says of the one account that there is, and of nothing else."""
    if "/v3/users" in path:
        return {"users": [], "total": 0}
    if ids[:1] != (TARGET,) and ids[:1] != (MEMBER,):
        return None
    if path.endswith("/v2/users/{}"):
        flags = dict.fromkeys(
            ("admin", "deactivated", "erased", "suspended", "locked", "shadow_banned", "is_guest"), False
        )
        empty = dict.fromkeys(("displayname", "avatar_url", "appservice_id", "user_type", "last_seen_ts"))
        return {"name": ids[0], "creation_ts": 1, "threepids": [], "external_ids": [], **flags, **empty}
    for name, key in (("devices", "devices"), ("joined_rooms", "joined_rooms"), ("media", "media")):
        if path.endswith(f"/{name}"):
            return {key: [], "total": 0}
    return None


class Client:
    """What the handlers use of Matrix beside asking: joins and leaves, noted and never done."""

    def __init__(self) -> None:
        self.joined: list[str] = []

    async def join(self, room_id: str) -> None:
        self.joined.append(room_id)

    async def leave(self, room_id: str, reason: str = "") -> None:
        return None

    async def identity_of(self, user_id: str) -> str | None:
        return None


class Pen:
    """Somebody's device: it encrypts for the bot whatever it is given."""

    def __init__(self, file: Path, user_id: str, bot: Any) -> None:
        self.user_id = user_id
        self.machine = open_machine(file, user_id, "DEVICE")
        self._bot = bot
        account = bot.account._account
        account.generate_one_time_keys(1)
        one_time_key = next(iter(account.one_time_keys.values())).to_base64()
        bot.account.mark_keys_as_published()
        bot.save_account()
        self._channel = OutboundSession(self.machine.account, bot.account.identity_keys["curve25519"], one_time_key)
        self._sessions: dict[str, Any] = {room_id: OutboundGroupSession() for room_id in (ADMIN, DIRECT)}
        self._first_keys = {room_id: session.session_key for room_id, session in self._sessions.items()}
        for session in self._sessions.values():
            session.mark_as_shared()
            session.max_messages = 10**9

    @property
    def keys(self) -> dict[str, str]:
        """Its public keys."""
        return dict(self.machine.account.identity_keys)

    def olm(self, plaintext: str) -> dict[str, Any]:
        """A to-device message that the bot can decrypt."""
        kind, ciphertext = self._channel.encrypt(plaintext).to_parts()
        own = self._bot.account.identity_keys["curve25519"]
        bodies = {own: {"type": kind, "body": encode(ciphertext)}}
        content = {"algorithm": OLM, "sender_key": self.keys["curve25519"], "ciphertext": bodies}
        return {"type": "m.room.encrypted", "sender": self.user_id, "content": content}

    def room_keys(self) -> list[dict[str, Any]]:
        """The messages that bring the keys of its sessions, as they should be."""
        return [self.room_key(room_id, {}) for room_id in self._sessions]

    def room_key(self, room_id: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The message that brings a session's key; `changes` replace parts of it."""
        content = {
            "algorithm": MEGOLM,
            "room_id": room_id,
            "session_id": self._sessions[room_id].id,
            "session_key": self._first_keys[room_id],
            **changes,
        }
        payload = {
            "sender": self.user_id,
            "keys": {"ed25519": self.keys["ed25519"]},
            "recipient": BOT,
            "recipient_keys": {"ed25519": self._bot.account.identity_keys["ed25519"]},
            "type": "m.room_key",
            "content": content,
        }
        return self.olm(json.dumps(payload))

    def megolm(self, room_id: str, plaintext: str) -> dict[str, Any]:
        """The content of an encrypted event."""
        session = self._sessions[room_id]
        return {"algorithm": MEGOLM, "session_id": session.id, "ciphertext": session.encrypt(plaintext)}


class Complaints(logging.Handler):
    """Collects what the bot couldn't make sense of: every error, and every traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()
        if record.levelno >= logging.ERROR or record.exc_info:
            text = logging.Formatter().format(record)
            self.found.append(text)


class Fuzzed:
    """The bot's parts that hear, wired as in cli/run.py, on files in a directory, without outbox sender and runner."""

    def __init__(self, directory: Path, **chosen: Any) -> None:
        """Args: chosen: settings beside those that have to be there."""
        log = logging.getLogger("lethe.fuzz")
        file = directory / "config.yaml"
        home = {"url": "http://127.0.0.1:1", "user_id": BOT, "password": "none"}
        file.write_text(yaml.safe_dump({"homeserver": home, "admin_room": ADMIN, "data_dir": str(directory), **chosen}))
        settings = config.load(file, {})
        self.paper, self.client, self.complaints = Paper(), Client(), Complaints()
        self.machine: Any = open_machine(directory / "keys.db", BOT, "BOT")
        directory_of_devices = Directory(self.paper, self.machine.learn_devices, log)
        self._crypto = Crypto(self.paper, self.machine, directory_of_devices, log)
        self._reader = Reader(self._crypto, directory_of_devices, log)
        self._sync = Sync(
            self.paper, self._crypto, directory_of_devices, self._reader, BOT, lambda room: None, self._nothing, log
        )
        self.pens = [Pen(directory / f"{user[1:4]}.db", user, self.machine) for user in (MODERATOR, MEMBER)]
        for pen in self.pens:
            signer = Crypto(self.paper, pen.machine, directory_of_devices, log)
            self.paper.devices[pen.user_id] = {"DEVICE": signer.device_keys()}
        self.database = Database(directory / FILE)
        policy = Policy.of(settings)
        self.admin_room = CurrentAdminRoom(ADMIN)
        authority = Authority(Rooms(self.paper), Synapse(self.paper), policy, self.admin_room)
        self.last_said = ""
        self._now = 1_700_000_000_000
        units = UnitsOfWork(self.database, Texts(), self.clock, self.admin_room)
        context = Context(units, authority, Synapse(self.paper), settings, Files(self.paper))
        watch = Watch(context)
        upgrade = Upgrade(context, self.client, watch)
        self._receiver = Receiver(units, BOT)
        self._dispatcher = Dispatcher(
            context,
            AdminRoomGate(context, for_admin_room("!"), ModeratorIdentities(context, self.client), watch, upgrade),
            DirectGate(context, for_direct_messages("!")),
            Invites(context, self.client, upgrade),
        )
        self._unreadable = Undecryptable(context, self._receiver, self._reader.read)
        self._authority = authority
        self._units = units
        self._tasks: list[asyncio.Task[None]] = []

    async def _nothing(self) -> None:
        return None

    def clock(self) -> int:
        """Time flies: an hour between two looks, so that no throttle keeps the handlers from what is to be tried."""
        self._now += 60_000
        return self._now

    async def start(self) -> None:
        """Opens the database, and listens."""
        logging.getLogger().addHandler(self.complaints)
        await self.database.open()
        self._tasks = [asyncio.create_task(work) for work in (self._dispatcher.run(), self._unreadable.run())]

    async def hear(self, answers: list[dict[str, Any]], state: list[dict[str, Any]]) -> None:
        """Lets the bot hear what syncs bring, and returns once all of it is handled.

        Args:
            answers: of `GET /sync`, without `next_batch`.
            state: the admin room's.

        Raises:
            AssertionError: something in it couldn't be handled, or would have changed an account.
        """
        async with self._units.begin() as unit:  # whatever became of it in the last round
            await conversations.open_with(unit.tx, DIRECT, MEMBER, unit.now)
        self.admin_room.room_id = ADMIN
        self.paper.state = state
        self.paper.direct_state = [_member(BOT), _member(MEMBER), _create()]
        self.paper.sync = [{**answer, "next_batch": str(number)} for number, answer in enumerate(answers)]
        self.paper.stop.clear()
        try:
            async with asyncio.timeout(20):
                await self._sync.run("since", self._receiver.store, self.paper.stop, self._receiver.poll_ms)
                await self._settled()
                await self._send_all()
        except TimeoutError:
            async with self.database.transaction() as tx:
                waiting = await inbox.pending(tx, 3)
            raise AssertionError(f"not handled: {waiting}; {self.complaints.last}") from None
        self._complain()

    async def _settled(self) -> None:
        while True:
            self._complain()
            async with self.database.transaction() as tx:
                if await inbox.caught_up(tx):
                    return
            # A reaction may wait until the prompts in the outbox are sent: perhaps it stands under one of them.
            await self._send_all()
            self._units.notify()
            await asyncio.sleep(0.002)

    def _complain(self) -> None:
        for task in self._tasks:
            if task.done():
                task.result()
        assert not self.complaints.found, self.complaints.found[0]  # noqa: S101 - this is a test
        assert not self.paper.harm, self.paper.harm[0]  # noqa: S101

    async def count(self, question: str) -> int:
        """The number that a question to the database gives."""
        async with self.database.transaction() as tx:
            row = await tx.one(question)
        return int(row[0]) if row else 0

    async def _send_all(self) -> None:
        """Takes everything out of the outbox, as if it had been sent."""
        async with self.database.transaction() as tx:
            for row in await tx.all("SELECT seq, content FROM outbox WHERE status = 'pending'"):
                self.last_said = str(row["content"])
                await outbox.sent(tx, row["seq"], f"$bot-{row['seq']}")

    async def close(self) -> None:
        """Lets go of everything."""
        logging.getLogger().removeHandler(self.complaints)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.database.close()
        for machine in (self.machine, *(pen.machine for pen in self.pens)):
            machine.store.close()


def _member(user_id: str, membership: str = "join") -> dict[str, Any]:
    return {
        "type": "m.room.member", "state_key": user_id, "sender": user_id, "content": {"membership": membership},
    }  # fmt: skip


def _create() -> dict[str, Any]:
    return {"type": "m.room.create", "state_key": "", "sender": MODERATOR, "content": {"room_version": "11"}}


def usual_state() -> list[dict[str, Any]]:
    """The admin room as it is on a good day."""
    levels: Mapping[str, Any] = {"users": {MODERATOR: 100}}
    encrypted = {"algorithm": MEGOLM}
    return [
        _create(), _member(BOT), _member(MODERATOR), _member(MEMBER),
        {"type": "m.room.power_levels", "state_key": "", "sender": MODERATOR, "content": dict(levels)},
        {"type": "m.room.encryption", "state_key": "", "sender": MODERATOR, "content": encrypted},
    ]  # fmt: skip
