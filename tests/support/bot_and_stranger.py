"""A bot's real parsing path on a real store, and a stranger with keys: no homeserver between them."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import aiohttp
from nio.crypto import OutboundGroupSession, OutboundSession

from homeserver.client.api import Api
from homeserver.client.sync import Sync
from homeserver.client.timeline import Reader
from homeserver.encryption.crypto import MEGOLM, OLM, Crypto
from homeserver.encryption.devices import Directory
from homeserver.encryption.machine import Claim, Machine, open_machine
from homeserver.encryption.signing import encode

BOT, STRANGER, ROOM = "@lethe:lethe.test", "@stranger:lethe.test", "!room:lethe.test"


class ModeratorCommand(Api):
    """Answers whatever it is told to."""

    def __init__(self, session: aiohttp.ClientSession | None = None) -> None:
        super().__init__(session, "http://server", None)  # type: ignore[arg-type] # never asked
        self.answer: dict[str, Any] = {}

    async def call(self, method: str, path: str, *ids: str, **options: Any) -> dict[str, Any]:
        return self.answer


class Parts:
    """The real parsing path on a real store, and a stranger's keys."""

    def __init__(self, directory: Path) -> None:
        log = logging.getLogger("lethe.fuzz")
        self.api = ModeratorCommand()
        self.machine: Machine = open_machine(directory / "bot.db", BOT, "BOT")
        # Tests kill no machine: waiting for the disk would make ten thousand examples take a quarter of an hour.
        self.machine.store.database.execute_sql("PRAGMA synchronous = OFF")
        self.directory = Directory(self.api, self.machine.learn_devices, log)
        self.crypto = Crypto(self.api, self.machine, self.directory, log)
        self.reader = Reader(self.crypto, self.directory, log)
        self.sync = Sync(self.api, self.crypto, self.directory, self.reader, BOT, lambda room: None, self._nothing, log)
        self.stranger = open_machine(directory / "stranger.db", STRANGER, "STRANGER")
        keys = self.machine.account.identity_keys
        account = self.machine.account._account
        account.generate_one_time_keys(1)
        self.machine.save_account()
        one_time_key = next(iter(account.one_time_keys.values())).to_base64()
        self.channel = OutboundSession(self.stranger.account, keys["curve25519"], one_time_key)
        self.session = OutboundGroupSession()
        self.session.mark_as_shared()
        self.session.max_messages = 10**9
        stranger_keys = self.stranger.account.identity_keys
        claim = Claim(STRANGER, stranger_keys["curve25519"], stranger_keys["ed25519"])
        self.machine._add_session(claim, ROOM, self.session.id, self.session.session_key)
        self.loop = asyncio.new_event_loop()

    async def _nothing(self) -> None:
        return None

    def olm(self, plaintext: str) -> dict[str, Any]:
        """A message that the bot can decrypt."""
        kind, ciphertext = self.channel.encrypt(plaintext).to_parts()
        own = self.machine.account.identity_keys["curve25519"]
        content = {
            "algorithm": OLM,
            "sender_key": self.stranger.account.identity_keys["curve25519"],
            "ciphertext": {own: {"type": kind, "body": encode(ciphertext)}},
        }
        return {"type": "m.room.encrypted", "sender": STRANGER, "content": content}

    def room_key(self, session: Any, sender: str = STRANGER, **changes: Any) -> dict[str, Any]:
        """The message that brings a session's key."""
        keys = self.machine.account.identity_keys
        content = {
            "algorithm": MEGOLM,
            "room_id": ROOM,
            "session_id": session.id,
            "session_key": session.session_key,
            **changes,
        }
        payload = {
            "sender": sender,
            "keys": {"ed25519": self.stranger.account.identity_keys["ed25519"]},
            "recipient": BOT,
            "recipient_keys": {"ed25519": keys["ed25519"]},
            "type": "m.room_key",
            "content": content,
        }
        return {**self.olm(json.dumps(payload)), "sender": sender}

    def close(self) -> None:
        """Let go of the files."""
        self.loop.close()
        self.machine.store.close()
        self.stranger.store.close()
