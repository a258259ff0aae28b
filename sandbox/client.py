"""A person with a real, encrypting Matrix client, as the tests and the demo need one."""

from __future__ import annotations

import asyncio
import json as jsonlib
import logging
import uuid
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import aiohttp

from sandbox.encryption import Encryption
from sandbox.homeserver import CallFailed
from sandbox.timeline import Seen
from sandbox.watching import Watching

_FILTER = jsonlib.dumps({"room": {"timeline": {"limit": 100}, "ephemeral": {"types": []}}, "presence": {"types": []}})
_MEGOLM = "m.megolm.v1.aes-sha2"


class Person(Watching):
    """A client that syncs in the background and keeps all it has seen in memory.

    Args:
        base_url: the homeserver's address.
        user_id: the full Matrix ID of an account that exists.
        log: gets what goes wrong in the background.

    Attributes:
        signed_out: the homeserver no longer takes our token; the sync has ended.
    """

    def __init__(self, base_url: str, user_id: str, log: logging.Logger | None = None) -> None:
        super().__init__(user_id)
        self.base_url = base_url
        self.password = ""
        self.device_id = ""
        self.access_token = ""
        self.signed_out = False
        self._log = log or logging.getLogger(f"sandbox.{user_id}")
        self._session: aiohttp.ClientSession | None = None
        self._encryption: Encryption | None = None
        self._encrypted_rooms: set[str] = set()
        self._syncing: asyncio.Task[None] | None = None
        self._since = ""
        self._others: list[Person] = []

    # Coming and going

    async def login(self, password: str) -> None:
        """Log in as a new device, upload its keys, and sync from here on. Returns after the first sync.

        Raises:
            CallFailed: 403 for a wrong password or a deactivated account.
        """
        self.password = password
        self._session = aiohttp.ClientSession()
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": self.user_id},
            "password": password,
            "initial_device_display_name": "sandbox",
        }
        try:
            answer = await self.call("POST", "/_matrix/client/v3/login", json=body)
        except BaseException:
            await self.close()
            raise
        await self._begin(answer["access_token"], answer["device_id"])

    async def resume(self, access_token: str, device_id: str) -> None:
        """Be a device that was logged in elsewhere, upload its keys, and sync from here on; else as `login`."""
        self._session = aiohttp.ClientSession()
        await self._begin(access_token, device_id)

    async def _begin(self, access_token: str, device_id: str) -> None:
        self.access_token, self.device_id = access_token, device_id
        self._encryption = Encryption(self.user_id, self.device_id, self.call, self._log)
        await self._encryption.upload_keys()
        await self._sync_once(wait=False)
        self._syncing = asyncio.create_task(self._sync_on(), name=f"sync {self.user_id}")

    async def log_in_again(self) -> Person:
        """Return the same person on a second device of their own. It is closed together with this one."""
        other = Person(self.base_url, self.user_id, self._log)
        self._others.append(other)
        await other.login(self.password)
        return other

    async def log_out(self) -> None:
        """Stop syncing and end this device's session (the homeserver deletes the device)."""
        await self._stop_syncing()
        await self.call("POST", "/_matrix/client/v3/logout", json={})
        self.signed_out = True

    async def close(self) -> None:
        """Stop syncing and close the connection. The device stays logged in."""
        for other in self._others:
            await other.close()
        await self._stop_syncing()
        if self._session is not None:
            await self._session.close()

    async def _stop_syncing(self) -> None:
        if self._syncing is not None:
            self._syncing.cancel()
            await asyncio.gather(self._syncing, return_exceptions=True)

    # The homeserver

    async def call(
        self,
        method: str,
        path: str,
        *ids: str,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> dict[str, Any]:
        """Call the homeserver with this person's token. 429 is obeyed a few times.

        Args:
            method: `GET`, `POST` …
            path: with `{}` for each id.
            ids: put into the path, percent-encoded.
            json: the body.
            params: the query.
            timeout: seconds.

        Raises:
            CallFailed: any answer but 2xx.
            aiohttp.ClientError, TimeoutError: no answer.
        """
        if self._session is None:
            raise RuntimeError("log in first")
        filled = path.format(*(quote(each, safe="") for each in ids))
        headers = {"Authorization": f"Bearer {self.access_token}"} if self.access_token else {}
        limit = aiohttp.ClientTimeout(total=timeout)
        for attempt in range(6):
            async with self._session.request(
                method, self.base_url + filled, json=json, params=params, headers=headers, timeout=limit
            ) as answer:
                content = await answer.json(content_type=None)
                status = answer.status
            if status == 429 and attempt < 5:
                await asyncio.sleep(content.get("retry_after_ms", 500) / 1000)
                continue
            break
        if status >= 300 or not isinstance(content, dict):
            raise CallFailed(method, filled, status, content)
        return content

    async def _sync_once(self, *, wait: bool) -> None:
        """One sync: take in what it brings, wake whoever waits."""
        params = {"filter": _FILTER, "timeout": "30000" if wait else "0"}
        if self._since:
            params["since"] = self._since
        sync = await self.call("GET", "/_matrix/client/v3/sync", params=params, timeout=60.0)
        if self._encryption is not None:
            self._encryption.receive(sync)
        self._take_in(sync)
        self._since = sync["next_batch"]
        await self._notify()
        if self._encryption is not None:
            await self._encryption.upload_keys()

    async def _sync_on(self) -> None:
        """Sync until cancelled or signed out. Nothing else ends it: no restart of the homeserver, no bad event."""
        pause = 0.1
        while True:
            try:
                await self._sync_once(wait=True)
                pause = 0.1
                continue
            except CallFailed as error:
                if error.status == 401:
                    self.signed_out = True
                    await self._notify()
                    return
                self._log.warning("sync: %s", error)
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                self._log.info("sync: %r", error)
            except Exception:
                self._log.exception("sync failed")
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)

    def _take_in(self, sync: dict[str, Any]) -> None:
        rooms = sync.get("rooms", {})
        for room_id, room in rooms.get("invite", {}).items():
            for event in room.get("invite_state", {}).get("events", []):
                if event.get("type") == "m.room.member" and event.get("state_key") == self.user_id:
                    self.invites[room_id] = event["sender"]
        for room_id, room in {**rooms.get("leave", {}), **rooms.get("join", {})}.items():
            self.invites.pop(room_id, None)
            for raw in room.get("timeline", {}).get("events", []):
                self.timeline.add(self._seen(room_id, raw))
        if self._encryption is not None:
            for event in self.timeline.events:
                if event.undecryptable and not event.redacted:
                    self._encryption.decrypt(event)

    def _seen(self, room_id: str, raw: dict[str, Any]) -> Seen:
        content = raw.get("content", {})
        encrypted = raw["type"] == "m.room.encrypted" and "state_key" not in raw
        redacted = "redacted_because" in raw.get("unsigned", {})
        return Seen(
            event_id=raw["event_id"],
            room_id=room_id,
            sender=raw["sender"],
            type=raw["type"],
            content=content,
            origin_server_ts=raw["origin_server_ts"],
            state_key=raw.get("state_key"),
            redacts=raw.get("redacts") or content.get("redacts"),  # in the content since room version 11
            encrypted=encrypted,
            undecryptable=encrypted and not redacted,
            redacted=redacted,
        )

    # Rooms

    async def create_room(
        self,
        *,
        name: str | None = None,
        encrypted: bool = False,
        invite: Iterable[str] = (),
        power_levels: Mapping[str, int] | None = None,
        room_version: str | None = None,
        preset: str = "private_chat",
        is_direct: bool = False,
        **extra: Any,
    ) -> str:
        """Create a room and return its id.

        Args:
            name: shown to people.
            encrypted: with Megolm from the start.
            invite: Matrix IDs.
            power_levels: by Matrix ID; we stay at 100 (or the creator, in room version 12).
            room_version: the homeserver's default if None.
            preset: `private_chat`, `trusted_private_chat`, `public_chat`.
            is_direct: marks the invitations as a direct message.
            extra: further keys of the request (`room_alias_name`, `initial_state` …).

        Source: POST /_matrix/client/v3/createRoom
        """
        body: dict[str, Any] = {"preset": preset, "invite": list(invite), "is_direct": is_direct, **extra}
        if name is not None:
            body["name"] = name
        if room_version is not None:
            body["room_version"] = room_version
        if encrypted:
            event = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": _MEGOLM}}
            body["initial_state"] = [*body.get("initial_state", []), event]
        if power_levels is not None:
            version = room_version or await self._default_room_version()
            creator = {} if version == "12" else {self.user_id: 100}  # creators must not be named there
            body["power_level_content_override"] = {"users": {**creator, **power_levels}}
        room_id = str((await self.call("POST", "/_matrix/client/v3/createRoom", json=body))["room_id"])
        if encrypted:
            self._encrypted_rooms.add(room_id)
        return room_id

    async def _default_room_version(self) -> str:
        answer = await self.call("GET", "/_matrix/client/v3/capabilities")
        return str(answer["capabilities"]["m.room_versions"]["default"])

    async def dm(self, user_id: str, encrypted: bool = True) -> str:
        """Start a direct message as Element does it, and return the room's id."""
        room_id = await self.create_room(
            preset="trusted_private_chat", is_direct=True, invite=[user_id], encrypted=encrypted
        )
        path = "/_matrix/client/v3/user/{}/account_data/m.direct"
        try:
            direct = await self.call("GET", path, self.user_id)
        except CallFailed as error:
            if error.status != 404:
                raise
            direct = {}
        direct[user_id] = [*direct.get(user_id, []), room_id]
        await self.call("PUT", path, self.user_id, json=direct)
        return room_id

    async def invite(self, room_id: str, user_id: str) -> None:
        """Invite somebody."""
        await self.call("POST", "/_matrix/client/v3/rooms/{}/invite", room_id, json={"user_id": user_id})

    async def join(self, room: str) -> str:
        """Join a room by id or alias and return its id."""
        return str((await self.call("POST", "/_matrix/client/v3/join/{}", room, json={}))["room_id"])

    async def leave(self, room_id: str) -> None:
        """Leave a room or reject an invitation."""
        await self.call("POST", "/_matrix/client/v3/rooms/{}/leave", room_id, json={})

    async def kick(self, room_id: str, user_id: str) -> None:
        """Remove somebody from a room, or take an invitation back."""
        await self.call("POST", "/_matrix/client/v3/rooms/{}/kick", room_id, json={"user_id": user_id})

    async def members(self, room_id: str, *memberships: str) -> list[str]:
        """Return who is in a room with one of the memberships (`join` and `invite` if none is given)."""
        answer = await self.call("GET", "/_matrix/client/v3/rooms/{}/members", room_id)
        wanted = memberships or ("join", "invite")
        return [event["state_key"] for event in answer["chunk"] if event["content"].get("membership") in wanted]

    async def state(self, room_id: str, event_type: str, state_key: str = "") -> dict[str, Any] | None:
        """Return the content of a state event, None if there is none."""
        try:
            return await self.call("GET", "/_matrix/client/v3/rooms/{}/state/{}/{}", room_id, event_type, state_key)
        except CallFailed as error:
            if error.status == 404:
                return None
            raise

    async def set_state(self, room_id: str, event_type: str, content: dict[str, Any], state_key: str = "") -> str:
        """Send a state event and return its id."""
        path = "/_matrix/client/v3/rooms/{}/state/{}/{}"
        return str((await self.call("PUT", path, room_id, event_type, state_key, json=content))["event_id"])

    async def set_power(self, room_id: str, user_id: str, level: int | None) -> None:
        """Give somebody a power level, None takes the entry out."""
        content = await self.state(room_id, "m.room.power_levels") or {}
        users = {user: power for user, power in content.get("users", {}).items() if user != user_id}
        content["users"] = users if level is None else {**users, user_id: level}
        await self.set_state(room_id, "m.room.power_levels", content)

    # Saying

    async def say(
        self,
        room_id: str,
        body: str,
        formatted_body: str | None = None,
        reply_to: str | None = None,
        **extra: Any,
    ) -> str:
        """Send a text, encrypted where the room is, and return the event's id.

        Args:
            room_id: where.
            body: plain text.
            formatted_body: HTML.
            reply_to: the event to reply to.
            extra: further keys of the content, a key with a dot by `**{"m.mentions": …}`.
        """
        content = _text_content(body, formatted_body)
        if reply_to is not None:
            content["m.relates_to"] = {"m.in_reply_to": {"event_id": reply_to}}
        return await self.send(room_id, "m.room.message", {**content, **extra})

    async def edit(self, room_id: str, event_id: str, body: str, formatted_body: str | None = None) -> str:
        """Edit a text of our own and return the edit's id."""
        new = _text_content(body, formatted_body)
        relation = {"rel_type": "m.replace", "event_id": event_id}
        content = {**_text_content(f"* {body}", formatted_body), "m.new_content": new, "m.relates_to": relation}
        return await self.send(room_id, "m.room.message", content)

    async def react(self, room_id: str, event_id: str, key: str) -> str:
        """React, always in clear text as all clients do, and return the reaction's id."""
        relation = {"rel_type": "m.annotation", "event_id": event_id, "key": key}
        return await self.send_clear(room_id, "m.reaction", {"m.relates_to": relation})

    async def redact(self, room_id: str, event_id: str, reason: str | None = None) -> str:
        """Redact an event (a reaction is withdrawn like this) and return the redaction's id."""
        body = {"reason": reason} if reason else {}
        path = "/_matrix/client/v3/rooms/{}/redact/{}/{}"
        return str((await self.call("PUT", path, room_id, event_id, uuid.uuid4().hex, json=body))["event_id"])

    async def send(self, room_id: str, event_type: str, content: dict[str, Any], txn_id: str | None = None) -> str:
        """Send any event, encrypted where the room is, and return its id."""
        if self._encryption is None or not await self._is_encrypted(room_id):
            return await self.send_clear(room_id, event_type, content, txn_id)
        members = await self.members(room_id)
        encrypted = await self._encryption.encrypt(room_id, members, event_type, content)
        return await self.send_clear(room_id, "m.room.encrypted", encrypted, txn_id)

    async def send_clear(
        self, room_id: str, event_type: str, content: dict[str, Any], txn_id: str | None = None
    ) -> str:
        """Send any event as it is, in clear text even into an encrypted room, and return its id."""
        path = "/_matrix/client/v3/rooms/{}/send/{}/{}"
        answer = await self.call("PUT", path, room_id, event_type, txn_id or uuid.uuid4().hex, json=content)
        return str(answer["event_id"])

    async def _is_encrypted(self, room_id: str) -> bool:
        if room_id not in self._encrypted_rooms and await self.state(room_id, "m.room.encryption") is not None:
            self._encrypted_rooms.add(room_id)  # it can't be switched off again
        return room_id in self._encrypted_rooms


def _text_content(body: str, formatted_body: str | None) -> dict[str, Any]:
    content = {"msgtype": "m.text", "body": body}
    if formatted_body is not None:
        content |= {"format": "org.matrix.custom.html", "formatted_body": formatted_body}
    return content
