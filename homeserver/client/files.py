"""Files for rooms: uploaded, encrypted where the room is, and taken off the server again.

Sources: client-server API, `POST /_matrix/media/v3/upload`, "Sending encrypted attachments"; Synapse admin API,
`DELETE /_synapse/admin/v1/media/{server_name}/{media_id}`.
"""

from __future__ import annotations

from typing import Any

from nio.crypto.attachments import encrypt_attachment

from homeserver.client.api import Api, BadAnswer, NotFound

_TIMEOUT = 120.0


class Files:
    """Uploads and removes files."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def upload(self, data: bytes, name: str, content_type: str, *, encrypted: bool) -> dict[str, Any]:
        """Uploads a file.

        Args:
            name: shown to people.
            encrypted: encrypts it first; the key stands in what this returns and nowhere else.

        Returns:
            The content of an `m.room.message` that shows it.

        Raises:
            HomeserverError: as in homeserver.client.api; `M_TOO_LARGE` is a `Refused`.
        """
        info = {"mimetype": content_type, "size": len(data)}
        content: dict[str, Any] = {"msgtype": "m.file", "body": name, "filename": name, "info": info}
        if not encrypted:
            return {**content, "url": await self._upload(data, content_type, name)}
        sealed, keys = encrypt_attachment(data)
        uri = await self._upload(sealed, "application/octet-stream", "")
        return {**content, "file": {**keys, "url": uri}}

    async def _upload(self, data: bytes, content_type: str, name: str) -> str:
        params = {"filename": name} if name else {}
        answer = await self._api.upload("/_matrix/media/v3/upload", data, content_type, params, _TIMEOUT)
        uri = answer.get("content_uri")
        if not isinstance(uri, str) or not uri.startswith("mxc://"):
            raise BadAnswer("POST /_matrix/media/v3/upload: the answer has no content_uri")
        return uri

    async def delete(self, uri: str) -> None:
        """Takes a file off the server; one that is gone already is no error.

        Raises:
            HomeserverError: as in homeserver.client.api.
        """
        server_name, _, media_id = uri.removeprefix("mxc://").partition("/")
        try:
            await self._api.call("DELETE", "/_synapse/admin/v1/media/{}/{}", server_name, media_id)
        except NotFound:
            return
