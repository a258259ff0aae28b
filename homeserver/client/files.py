"""Files for rooms: uploaded, encrypted where the room is, and deleted from the server again.

Sources: client-server API, `POST /_matrix/media/v1/create`, `PUT /_matrix/media/v3/upload/{serverName}/{mediaId}`,
"Sending encrypted attachments"; Synapse admin API, `DELETE /_synapse/admin/v1/media/{server_name}/{media_id}`.
"""

from __future__ import annotations

from binascii import Error as NotBase64
from collections.abc import Mapping
from typing import Any

from nio.crypto.attachments import decrypt_attachment, encrypt_attachment
from nio.exceptions import EncryptionError

from homeserver.client.api import Api, BadAnswer, NotFound, TooLarge

_TIMEOUT = 120.0


class BrokenFile(Exception):
    """A message that shows a file doesn't say where it is, or what is there isn't what it says."""


class Files:
    """Uploads and removes files."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def reserve(self) -> str:
        """Reserves a content URI, so that it can be written down before the file is uploaded.

        An unused one expires on the server by itself.

        Raises:
            HomeserverError: as in homeserver.client.api.
        """
        answer = await self._api.call("POST", "/_matrix/media/v1/create", json={})
        uri = answer.get("content_uri")
        if not isinstance(uri, str) or not uri.startswith("mxc://"):
            raise BadAnswer("POST /_matrix/media/v1/create: the answer has no content_uri")
        return uri

    async def upload(self, uri: str, data: bytes, name: str, content_type: str, *, encrypted: bool) -> dict[str, Any]:
        """Uploads a file.

        Args:
            uri: where to, as `reserve` gave it.
            name: shown to people.
            encrypted: encrypts it first; the key stands in what this returns and nowhere else.

        Returns:
            The content of an `m.room.message` that shows it.

        Raises:
            HomeserverError: as in homeserver.client.api; `M_TOO_LARGE` is a `Refused`, and so is
                `M_CANNOT_OVERWRITE_MEDIA` where this URI has its file already.
        """
        info = {"mimetype": content_type, "size": len(data)}
        content: dict[str, Any] = {"msgtype": "m.file", "body": name, "filename": name, "info": info}
        if not encrypted:
            await self._upload(uri, data, content_type, name)
            return {**content, "url": uri}
        sealed, keys = encrypt_attachment(data)
        await self._upload(uri, sealed, "application/octet-stream", "")
        return {**content, "file": {**keys, "url": uri}}

    async def download(self, content: Mapping[str, Any], most: int) -> bytes:
        """Fetches a file that a message shows, and decrypts it where it is encrypted.

        `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}`.

        Args:
            content: of the `m.room.message`, of any shape.
            most: bytes. What is larger isn't read.

        Raises:
            BrokenFile: there is nothing to fetch, or it isn't what was sent.
            TooLarge: it is larger, by what the message says or by what comes.
            HomeserverError: as in homeserver.client.api.
        """
        info = content.get("info")
        claimed = info.get("size") if isinstance(info, Mapping) else None
        if isinstance(claimed, int) and claimed > most:
            raise TooLarge(f"the file has {claimed} bytes, more than {most}")
        sealed = content.get("file")
        uri = sealed.get("url") if isinstance(sealed, Mapping) else content.get("url")
        server_name, media_id = _parts(uri) if isinstance(uri, str) and uri.startswith("mxc://") else ("", "")
        if not server_name or not media_id or "/" in media_id:
            raise BrokenFile("the message doesn't say where its file is")
        path = "/_matrix/client/v1/media/download/{}/{}"
        data = await self._api.download(path, server_name, media_id, most=most, timeout=_TIMEOUT)
        if not isinstance(sealed, Mapping):
            return data
        try:
            return bytes(decrypt_attachment(data, sealed["key"]["k"], sealed["hashes"]["sha256"], sealed["iv"]))
        except (EncryptionError, NotBase64, KeyError, TypeError, ValueError, AttributeError):
            raise BrokenFile("the file can't be decrypted with what its message says") from None

    async def _upload(self, uri: str, data: bytes, content_type: str, name: str) -> None:
        await self._api.upload(
            "/_matrix/media/v3/upload/{}/{}",
            *_parts(uri),
            data=data,
            content_type=content_type,
            params={"filename": name} if name else {},
            timeout=_TIMEOUT,
        )

    async def delete(self, uri: str) -> None:
        """Deletes a file from the server; one that is gone already is no error.

        Raises:
            HomeserverError: as in homeserver.client.api.
        """
        server_name, media_id = _parts(uri)
        try:
            await self._api.call("DELETE", "/_synapse/admin/v1/media/{}/{}", server_name, media_id)
        except NotFound:
            return


def _parts(uri: str) -> tuple[str, str]:
    """The server's name and the media id of an `mxc://` URI."""
    server_name, _, media_id = uri.removeprefix("mxc://").partition("/")
    return server_name, media_id
