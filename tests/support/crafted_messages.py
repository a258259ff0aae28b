"""Messages that no honest client would send: Olm and Megolm with anything inside."""

from __future__ import annotations

import json
import uuid
from typing import Any, Protocol

from nio.crypto import OutboundGroupSession
from nio.responses import KeysClaimResponse

from homeserver.encryption.cross_signing import Seeds
from homeserver.encryption.signing import Owner, SigningKey, encode, read_owner, with_signature
from sandbox.client import Person
from tests.support.bare_client import Bot

MEGOLM = "m.megolm.v1.aes-sha2"
TEXT = {"msgtype": "m.text", "body": "hello there"}
QUERY = "/_matrix/client/v3/keys/query"
CLAIM = "/_matrix/client/v3/keys/claim"


def group_session() -> Any:
    """An outgoing Megolm session that can be written with."""
    session = OutboundGroupSession()
    session.mark_as_shared()
    return session


class Addressee(Protocol):
    """A bot that messages are crafted for."""

    @property
    def user_id(self) -> str: ...

    @property
    def keys(self) -> Any:
        """Something whose `device_id` is the bot's."""


class Crafter:
    """Somebody with a real device who sends crafted messages to the bot.

    Args:
        person: logged in.
        bot: started: the door alone, or the whole bot.
    """

    def __init__(self, person: Person, bot: Addressee) -> None:
        assert person._encryption is not None
        self.person = person
        self.encryption = person._encryption
        self.olm: Any = person._encryption._olm
        self.bot = bot
        self.bot_device: str = bot.keys.device_id

    async def to_device(self, event_type: str, content: Any, device_id: str | None = None) -> None:
        """Send anything to the bot's device."""
        messages = {"messages": {self.bot.user_id: {device_id or self.bot_device: content}}}
        path = "/_matrix/client/v3/sendToDevice/{}/{}"
        await self.person.call("PUT", path, event_type, uuid.uuid4().hex, json=messages)

    async def channel(self) -> tuple[Any, Any]:
        """The bot's device as this person sees it, and an Olm session with it."""
        await self.encryption._query([self.bot.user_id])
        missing = self.olm.get_missing_sessions([self.bot.user_id])
        if missing:
            wanted = {user: dict.fromkeys(devices, "signed_curve25519") for user, devices in missing.items()}
            answer = await self.person.call("POST", "/_matrix/client/v3/keys/claim", json={"one_time_keys": wanted})
            self.olm.handle_response(KeysClaimResponse(answer["one_time_keys"], {}))
        device = self.olm.device_store[self.bot.user_id][self.bot_device]
        return device, self.olm.session_store.get(device.curve25519)

    async def send_olm(
        self, event_type: Any, content: Any, raw: str | None = None, spoil: bool = False, **changes: Any
    ) -> None:
        """Send an Olm message through a real channel.

        Args:
            event_type: inside.
            content: inside.
            raw: the plaintext instead of what would be made of the rest.
            spoil: change the ciphertext so that nobody can read it.
            changes: replace keys of the plaintext.
        """
        device, session = await self.channel()
        plaintext = {
            "sender": self.person.user_id,
            "sender_device": self.person.device_id,
            "keys": {"ed25519": self.encryption.identity_keys["ed25519"]},
            "recipient": self.bot.user_id,
            "recipient_keys": {"ed25519": device.ed25519},
            "type": event_type,
            "content": content,
            **changes,
        }
        kind, ciphertext = session.encrypt(raw if raw is not None else json.dumps(plaintext)).to_parts()
        if spoil:
            ciphertext = ciphertext[:-1] + bytes([ciphertext[-1] ^ 1])
        await self.to_device(
            "m.room.encrypted",
            {
                "algorithm": "m.olm.v1.curve25519-aes-sha2",
                "sender_key": self.encryption.identity_keys["curve25519"],
                "ciphertext": {device.curve25519: {"type": kind, "body": encode(ciphertext)}},
            },
        )

    async def send_key(self, room_id: str, session: Any, key: str | None = None, **changes: Any) -> None:
        """Send a session's key as its owner would.

        Args:
            room_id: of the session.
            session: of `group_session`.
            key: the key instead of the one that the session has now.
            changes: replace keys of the Olm plaintext.
        """
        content = {
            "algorithm": MEGOLM,
            "room_id": room_id,
            "session_id": session.id,
            "session_key": key or session.session_key,
        }
        await self.send_olm("m.room_key", content, **changes)

    def encrypted(self, session: Any, room_id: str, payload: Any, **changes: Any) -> dict[str, Any]:
        """The content of an encrypted event; `payload` is the plaintext, as an object or as text."""
        if not isinstance(payload, str):
            payload = json.dumps({"room_id": room_id, **payload})
        return {
            "algorithm": MEGOLM,
            "sender_key": self.encryption.identity_keys["curve25519"],
            "device_id": self.person.device_id,
            "session_id": session.id,
            "ciphertext": session.encrypt(payload),
            **changes,
        }

    async def say(self, session: Any, room_id: str, payload: Any, **changes: Any) -> str:
        """Send an encrypted event with anything inside, and return its id."""
        return await self.person.send_clear(
            room_id, "m.room.encrypted", self.encrypted(session, room_id, payload, **changes)
        )


def text(body: str) -> dict[str, Any]:
    """The plaintext of an ordinary message."""
    return {"type": "m.room.message", "content": {"msgtype": "m.text", "body": body}}


async def make_identity(person: Person) -> Seeds:
    """Give somebody a cross-signing identity."""
    seeds = Seeds({usage: SigningKey.new_seed() for usage in ("master", "self_signing", "user_signing")})
    path = "/_matrix/client/v3/keys/device_signing/upload"
    await person.call("POST", path, json=seeds.public_keys(person.user_id))
    return seeds


async def sign_device(person: Person, seeds: Seeds) -> None:
    """Sign somebody's device with their identity."""
    user_id, device_id = person.user_id, person.device_id
    answer = await person.call("POST", "/_matrix/client/v3/keys/query", json={"device_keys": {user_id: [device_id]}})
    keys = answer["device_keys"][user_id][device_id]
    keys.pop("unsigned", None)
    signed = with_signature(keys, user_id, seeds.self_signing)
    result = await person.call("POST", "/_matrix/client/v3/keys/signatures/upload", json={user_id: {device_id: signed}})
    assert not result["failures"]


async def answers(bot: Bot, person: Person, room_id: str) -> None:
    """The bot still hears, in an encrypted room."""
    heard = await bot.hears(await person.say(room_id, "are you there?"))
    assert heard.content["body"] == "are you there?"


async def owner_of(person: Person, user_id: str) -> Owner:
    """What is shown of somebody."""
    return read_owner(await person.call("POST", QUERY, json={"device_keys": {user_id: []}}), user_id)


async def joins(person: Person, other: Person, room_id: str, bot: Bot) -> None:
    """Another person joins a room, and the bot has heard of it."""
    await person.invite(room_id, other.user_id)
    await other.join(room_id)
    await bot.until(
        lambda: any(e.state_key == other.user_id and e.content.get("membership") == "join" for e in bot.heard),
        "the join of another",
    )
