"""The keys of one device: all or nothing, and not more than there is room for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nio.crypto import OutboundGroupSession

from homeserver.encryption.crypto import MEGOLM, Forged, Opened, Undecryptable
from homeserver.encryption.machine import Claim, DiskError, open_machine
from homeserver.encryption.signing import Device
from tests.support.bot_and_stranger import BOT, ROOM, STRANGER, Parts


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = Parts(tmp_path)
    yield made
    made.close()


def new_session() -> Any:
    session = OutboundGroupSession()
    session.mark_as_shared()
    return session


def opened(parts: Parts, session: Any, text: str = '{"type": "x", "content": {}}') -> Opened:
    content = {"algorithm": MEGOLM, "session_id": session.id, "ciphertext": session.encrypt(text)}
    return parts.crypto.open(ROOM, content)


def test_a_room_key_is_kept_over_a_restart(parts: Parts, tmp_path: Path) -> None:
    """A key that came opens events now and after a restart, and says who sent it."""
    session = new_session()
    parts.crypto.receive([parts.room_key(session)])
    stranger = parts.stranger.account.identity_keys
    claim = Claim(STRANGER, stranger["curve25519"], stranger["ed25519"])
    assert opened(parts, session).claims == [claim]
    parts.machine.store.close()
    parts.machine = open_machine(tmp_path / "bot.db", BOT, "BOT")
    assert session.id in parts.machine.sessions
    assert parts.machine.store.claims(session.id) == [claim]
    assert (ROOM, session.id) in parts.machine.store.new_sessions()


def test_a_full_disk_loses_no_key(parts: Parts, tmp_path: Path) -> None:
    """Where a key can't be stored, the Olm channel hasn't moved either: the same message is read after a restart."""
    many = [new_session() for _ in range(40)]
    messages = [parts.room_key(session) for session in many]
    ((pages,),) = parts.machine.store.database.execute_sql("PRAGMA page_count")
    parts.machine.store.database.execute_sql(f"PRAGMA max_page_count = {pages + 4}")
    with pytest.raises(DiskError):
        parts.crypto.receive(messages)
    parts.machine.store.close()
    parts.machine = open_machine(tmp_path / "bot.db", BOT, "BOT")
    assert not {session.id for session in many} & set(parts.machine.sessions)
    parts.crypto._machine = parts.machine
    parts.crypto.receive(messages)
    assert {session.id for session in many} <= set(parts.machine.sessions)


def test_keys_that_others_send_replace_nothing(parts: Parts) -> None:
    """A key of the same session from a later point, or for another room, leaves the one there is."""
    session = new_session()
    parts.crypto.receive([parts.room_key(session)])
    early = {"algorithm": MEGOLM, "session_id": session.id, "ciphertext": session.encrypt('{"type":"x","content":{}}')}
    parts.crypto.receive([parts.room_key(session), parts.room_key(session, room_id="!other:lethe.test")])
    assert parts.crypto.open(ROOM, early).message_index == 0
    other = new_session()
    first_key = other.session_key
    other.encrypt("something before")
    parts.crypto.receive([parts.room_key(other)])
    parts.crypto.receive([parts.room_key(other, room_id="!other:lethe.test", session_key=first_key)])
    assert opened(parts, other).message_index == 1
    with pytest.raises(Forged):
        parts.crypto.open("!other:lethe.test", early)


def test_a_relayed_message_is_nobodys_key(parts: Parts) -> None:
    """An Olm message whose inside names another sender than the homeserver does brings no key."""
    session = new_session()
    message = parts.room_key(session, sender="@moderator:lethe.test")
    parts.crypto.receive([{**message, "sender": STRANGER}])
    with pytest.raises(Undecryptable):
        opened(parts, session)


def test_one_user_keeps_only_the_newest_keys(parts: Parts, tmp_path: Path) -> None:
    """Somebody who sends keys without end pushes out their own oldest ones, in memory and on the disk."""
    moderators = new_session()
    parts.machine._add_session(Claim("@moderator:lethe.test", "key", "ed"), ROOM, moderators.id, moderators.session_key)
    many = [new_session() for _ in range(6)]
    parts.crypto.receive([parts.room_key(session) for session in many])
    parts.machine._senders.add(STRANGER)
    parts.machine.tidy(sessions_max=3)
    kept = {session.id for session in many[-3:]} | {moderators.id}
    assert set(parts.machine.sessions) == kept
    parts.machine.store.close()
    parts.machine = open_machine(tmp_path / "bot.db", BOT, "BOT")
    assert set(parts.machine.sessions) == kept


def test_a_session_that_two_claim_stays_for_the_other(parts: Parts) -> None:
    """Somebody whose claims are thrown away doesn't take the owner's session along."""
    session = new_session()
    parts.machine._add_session(Claim("@moderator:lethe.test", "key", "ed"), ROOM, session.id, session.session_key)
    parts.crypto.receive([parts.room_key(session), *(parts.room_key(new_session()) for _ in range(3))])
    parts.machine._senders.add(STRANGER)
    parts.machine.tidy(sessions_max=1)
    assert [claim.user_id for claim in parts.machine.store.claims(session.id)] == ["@moderator:lethe.test"]
    assert session.id in parts.machine.sessions


@pytest.mark.parametrize("known", [False, True])
def test_channels_of_devices_that_nobody_showed_go_first(parts: Parts, known: bool) -> None:
    """When there are too many Olm channels, those with unknown devices go, on the disk too."""
    parts.crypto.receive([parts.room_key(new_session())])
    keys = parts.stranger.account.identity_keys
    if known:
        parts.machine.learn_devices(STRANGER, {"STRANGER": Device("STRANGER", keys["curve25519"], keys["ed25519"])})
    assert len(parts.machine.session_store[keys["curve25519"]]) == 1
    parts.machine.tidy(channels_max=0)
    assert len(parts.machine.session_store[keys["curve25519"]]) == int(known)
    assert len(parts.machine.store.load_sessions()[keys["curve25519"]]) == int(known)


def test_an_index_belongs_to_one_event(parts: Parts, tmp_path: Path) -> None:
    """A message index is the first event's for good."""
    store = parts.machine.store
    assert store.is_first_use("session", 1, "$one")
    assert store.is_first_use("session", 1, "$one")
    assert not store.is_first_use("session", 1, "$two")
    assert store.is_first_use("session", 2, "$two")
    store.close()
    parts.machine = open_machine(tmp_path / "bot.db", BOT, "BOT")
    assert not parts.machine.store.is_first_use("session", 1, "$two")


def test_a_device_that_changes_its_key_is_not_taken(parts: Parts) -> None:
    """A known device with another ed25519 key is told as strange and gets no keys; one that comes back does again."""
    device = Device("ONE", "c" * 43, "e" * 43)
    learn = parts.machine.learn_devices
    assert learn(STRANGER, {"ONE": device}) == set()

    def active() -> list[str]:
        return [each.id for each in parts.machine.device_store.active_user_devices(STRANGER)]

    assert active() == ["ONE"]
    assert learn(STRANGER, {"ONE": Device("ONE", "c" * 43, "x" * 43)}) == {"ONE"}
    assert active() == []
    assert learn(STRANGER, {}) == set()
    assert learn(STRANGER, {"ONE": device}) == set()
    assert active() == ["ONE"]
