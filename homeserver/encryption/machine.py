"""nio's Olm machine and its store, with checks that nio lacks. Nothing here is asynchronous or uses HTTP.

nio is used as an engine for Olm and Megolm only. Its client is not: it believes state found in decrypted events, ends
its sync on a bad to-device message, and never refreshes keys by itself. What differs from nio's own machine:

- of all that comes through Olm only room keys are taken (nio would also take forwarded ones and start verifications);
- a room key is remembered with the user who sent it (`Claim`): who may say to have written with it is decided by that,
  never by what an event says of itself. Another's session can't be overwritten by sending a key of the same id;
- Megolm message indexes are remembered on the disk, so that a replay is seen after a restart too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nio.crypto import InboundGroupSession, Olm, OlmDevice
from nio.store import SqliteStore
from peewee import DatabaseError, OperationalError  # type: ignore[import-untyped] # it has no types

from homeserver.client.credentials import LostKeys, private_directory, private_file
from homeserver.encryption.signing import Device

DiskError = OperationalError
"""The disk is full or can't be written. A message can't cause this."""

_CLAIMS_MAX = 5
"""So many devices of one user may say that one session is theirs; more is somebody filling our disk."""
_OLM_SESSIONS_MAX = 30
"""Olm sessions kept for one device, the newest: each message makes us try them all."""
_STRANGERS_MAX = 5000
"""Olm sessions in all, above which those with devices that nobody has shown us are thrown away."""
_SESSIONS_MAX = 2000
"""Megolm sessions kept of one user, the newest. Any user of any server may send us keys for rooms that don't exist."""
_TABLES = (
    "CREATE TABLE IF NOT EXISTS lethe_claims (session_id TEXT NOT NULL, room_id TEXT NOT NULL, user_id TEXT NOT NULL, "
    "sender_key TEXT NOT NULL, ed25519 TEXT NOT NULL, PRIMARY KEY (session_id, user_id, sender_key, ed25519))",
    "CREATE TABLE IF NOT EXISTS lethe_indexes (session_id TEXT NOT NULL, message_index INTEGER NOT NULL, "
    "event_id TEXT NOT NULL, PRIMARY KEY (session_id, message_index)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS lethe_new_sessions (room_id TEXT NOT NULL, session_id TEXT NOT NULL, "
    "PRIMARY KEY (room_id, session_id))",
    "CREATE INDEX IF NOT EXISTS lethe_claims_of_user ON lethe_claims (user_id)",
)


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody sent us the key of a session through an Olm channel of this curve25519 key, naming this ed25519 key."""

    user_id: str
    sender_key: str
    ed25519: str


class KeyStore(SqliteStore):  # type: ignore[misc] # nio has no types for its store
    """nio's store with our own tables beside its, in one file, so that one transaction holds both."""

    def _create_database(self) -> Any:
        database = super()._create_database()
        pragmas = {"foreign_keys": 1, "secure_delete": 1, "journal_mode": "wal", "synchronous": "full"}
        database.init(self.database_path, pragmas=pragmas)
        return database

    def prepare(self) -> None:
        """Makes our tables."""
        for statement in _TABLES:
            self.database.execute_sql(statement)

    def close(self) -> None:
        self.database.close()

    def together(self) -> AbstractContextManager[Any]:
        """All that is stored inside holds together, or not at all. Nothing may be awaited inside."""
        transaction: AbstractContextManager[Any] = self.database.atomic()
        return transaction

    def claim(self, room_id: str, session_id: str, claim: Claim) -> None:
        """Remembers who sent a session's key."""
        row = (session_id, room_id, claim.user_id, claim.sender_key, claim.ed25519)
        self.database.execute_sql("INSERT OR IGNORE INTO lethe_claims VALUES (?, ?, ?, ?, ?)", row)

    def claims(self, session_id: str) -> list[Claim]:
        """Everybody who sent this session's key, the first one first."""
        sql = "SELECT user_id, sender_key, ed25519 FROM lethe_claims WHERE session_id = ? ORDER BY rowid"
        return [Claim(*row) for row in self.database.execute_sql(sql, (session_id,))]

    def is_first_use(self, session_id: str, message_index: int, event_id: str) -> bool:
        """Takes note of a message of a session; False where another event has had it before: a replay."""
        key = (session_id, message_index)
        self.database.execute_sql("INSERT OR IGNORE INTO lethe_indexes VALUES (?, ?, ?)", (*key, event_id))
        sql = "SELECT event_id FROM lethe_indexes WHERE session_id = ? AND message_index = ?"
        ((first,),) = self.database.execute_sql(sql, key)
        return bool(first == event_id)

    def new_sessions(self) -> list[tuple[str, str]]:
        """(room, session) of the keys that came and of which nobody has been told yet."""
        sql = "SELECT room_id, session_id FROM lethe_new_sessions ORDER BY rowid"
        return [(room_id, session_id) for room_id, session_id in self.database.execute_sql(sql)]

    def add_new_session(self, room_id: str, session_id: str) -> None:
        self.database.execute_sql("INSERT OR IGNORE INTO lethe_new_sessions VALUES (?, ?)", (room_id, session_id))

    def drop_oldest(self, user_id: str, keep: int) -> list[str]:
        """Forgets a user's oldest claims above `keep`, and the sessions that are nobody's then; returns their ids."""
        sql = "SELECT rowid, session_id FROM lethe_claims WHERE user_id = ? ORDER BY rowid DESC LIMIT -1 OFFSET ?"
        dropped = []
        with self.together():
            for rowid, session_id in list(self.database.execute_sql(sql, (user_id, keep))):
                self.database.execute_sql("DELETE FROM lethe_claims WHERE rowid = ?", (rowid,))
                if self.claims(session_id):
                    continue
                dropped.append(session_id)
                for table in ("megolminboundsessions", "lethe_indexes", "lethe_new_sessions"):
                    self.database.execute_sql(f"DELETE FROM {table} WHERE session_id = ?", (session_id,))  # noqa: S608
        return dropped

    def drop_channels(self, session_ids: Iterable[str]) -> None:
        """Forgets Olm sessions."""
        with self.together():
            for each in session_ids:
                self.database.execute_sql("DELETE FROM olmsessions WHERE session_id = ?", (each,))

    def told_of(self, sessions: Iterable[tuple[str, str]]) -> None:
        """Whoever waits for these keys knows of them."""
        with self.together():
            for each in sessions:
                self.database.execute_sql("DELETE FROM lethe_new_sessions WHERE room_id = ? AND session_id = ?", each)


class Machine(Olm):  # type: ignore[misc] # nio has no types for its machine
    """nio's Olm machine, taking room keys only and remembering who sent them."""

    store: KeyStore

    def load(self) -> None:
        super().load()
        self.sessions: dict[str, InboundGroupSession] = {each.id: each for each in self.inbound_group_store}
        self._senders: set[str] = set()

    def _handle_olm_event(self, sender: str, sender_key: str, payload: dict[Any, Any]) -> None:
        """Whatever a decrypted Olm message holds, already known to come from `sender`. Raises on what is malformed."""
        content = payload["content"]
        if payload["type"] != "m.room_key" or content["algorithm"] != self._megolm_algorithm:
            return
        claim = Claim(sender, sender_key, payload["keys"]["ed25519"])
        self._add_session(claim, content["room_id"], content["session_id"], content["session_key"])

    def create_group_session(
        self, sender_key: str, sender_fp_key: str, room_id: str, session_id: str, session_key: str
    ) -> None:
        """Our own outgoing session, kept so that we can read what we wrote."""
        self._add_session(Claim(self.user_id, sender_key, sender_fp_key), room_id, session_id, session_key)

    def _add_session(self, claim: Claim, room_id: str, session_id: str, session_key: str) -> None:
        if not all(isinstance(each, str) for each in (room_id, session_id, session_key, claim.ed25519)):
            raise ValueError("a room key with something else than text in it")
        session = InboundGroupSession(session_key, claim.ed25519, claim.sender_key, room_id)
        if session.id != session_id:
            raise ValueError("a room key for another session than it says")
        known = self.sessions.get(session_id)
        if known is not None and known.room_id != room_id:
            raise ValueError("a room key that is known for another room")
        theirs = [each for each in self.store.claims(session_id) if each.user_id == claim.user_id]
        self._senders.add(claim.user_id)
        if claim not in theirs and len(theirs) >= _CLAIMS_MAX:
            raise ValueError("a room key that too many devices of one user say is theirs")
        with self.store.together():
            self.store.claim(room_id, session_id, claim)
            # The key is signed by the session's own key, which is its id: whoever sends it, it is the same session.
            # Only one that reaches further back may take the place of the one we have.
            if known is None or session.first_known_index < known.first_known_index:
                self.save_inbound_group_session(session)
                self.sessions[session_id] = session
                if claim.user_id != self.user_id or claim.sender_key != self.account.identity_keys["curve25519"]:
                    self.store.add_new_session(room_id, session_id)

    def tidy(self, sessions_max: int = _SESSIONS_MAX, channels_max: int = _STRANGERS_MAX) -> None:
        """Limits how much strangers can store here; called after messages were taken in.

        Args:
            sessions_max: Megolm sessions kept of each user.
            channels_max: Olm sessions kept in all, before those with devices unknown are thrown away.
        """
        for user_id in self._senders:
            for session_id in self.store.drop_oldest(user_id, sessions_max):
                self.sessions.pop(session_id, None)
        self._senders.clear()
        surplus: list[str] = []
        total = 0
        for channels in self.session_store.values():
            total += len(channels)
            surplus += [each.id for each in channels[_OLM_SESSIONS_MAX:]]
            del channels[_OLM_SESSIONS_MAX:]
        if total > channels_max:
            known = {device.curve25519 for device in self.device_store}
            for sender_key, channels in self.session_store.items():
                if sender_key not in known:
                    surplus += [each.id for each in channels]
                    channels.clear()
        if surplus:
            self.store.drop_channels(surplus)

    def learn_devices(self, user_id: str, devices: Mapping[str, Device]) -> set[str]:
        """Takes over the devices that a user has now, for sending them keys. The rest count as deleted.

        Returns:
            Ids of devices that show another ed25519 key than before: they are not taken over (specification,
            "Tracking the device list for a user").
        """
        known = self.device_store[user_id]
        changed: dict[str, OlmDevice] = {}
        strange: set[str] = set()
        for device_id, device in devices.items():
            if (user_id, device_id) == (self.user_id, self.device_id):
                continue
            before = known.get(device_id)
            if before is None:
                keys = {"ed25519": device.ed25519, "curve25519": device.curve25519}
                self.device_store.add(OlmDevice(user_id, device_id, keys, device.display_name))
            elif before.ed25519 != device.ed25519:
                strange.add(device_id)
                continue
            elif before.deleted or before.curve25519 != device.curve25519:
                before.deleted, before.curve25519 = False, device.curve25519
            else:
                continue
            changed[device_id] = known[device_id]
        for device_id, gone in known.items():
            if not gone.deleted and (device_id not in devices or device_id in strange):
                gone.deleted = True
                changed[device_id] = gone
        self.store.save_device_keys({user_id: changed})
        return strange


def open_machine(file: Path, user_id: str, device_id: str) -> Machine:
    """Opens a device's keys, or makes new ones where the file doesn't exist. The file is 0600 from its first byte on.

    Raises:
        LostKeys: the file is damaged.
        OSError, DiskError: it can't be opened.
    """
    private_directory(file.parent)
    private_file(file)
    store = None
    try:
        store = KeyStore(user_id, device_id, str(file.parent), "", file.name)
        store.prepare()
        return Machine(user_id, device_id, store)
    except BaseException as error:
        if store is not None:
            store.close()
        if isinstance(error, DatabaseError | ValueError) and not isinstance(error, DiskError):
            raise LostKeys(f"{file} is damaged ({error}): put it back from a backup") from None
        raise
