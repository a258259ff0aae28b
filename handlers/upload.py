"""Files that the bot sends: where each is going to be is stored before it is uploaded."""

from __future__ import annotations

from typing import Any

from handlers.context import Context
from homeserver.client.api import Refused
from storage import uploads

RESERVED_FOR_MS = 3_600_000
"""When the file under a reserved URI is deleted, where it was never sent."""


async def upload(
    context: Context, for_user: str, data: bytes, name: str, content_type: str, *, encrypted: bool
) -> dict[str, Any]:
    """Uploads a file. The caller stores `uploads.sent` in the unit of work that sends it.

    Its URI is reserved and stored first: a crash in between leaves no file on the server that nobody deletes.

    Args:
        for_user: who gets it; the bot itself for what stays in the admin room.

    Returns:
        The content of an `m.room.message` that shows it.

    Raises:
        HomeserverError: it couldn't be reserved or uploaded.
    """
    async with context.units.database.transaction() as tx:
        left = await uploads.reserved_for(tx, for_user)
    if left is not None:
        try:
            return await context.files.upload(left, data, name, content_type, encrypted=encrypted)
        except Refused as error:
            # An attempt whose answer was never heard put a file there; or the reservation has expired.
            if error.errcode not in ("M_CANNOT_OVERWRITE_MEDIA", "M_NOT_FOUND"):
                raise
        async with context.units.database.transaction() as tx:
            await uploads.unusable(tx, left, context.units.clock())
    uri = await context.files.reserve()
    async with context.units.database.transaction() as tx:
        await uploads.reserve(tx, uri, for_user, context.units.clock() + RESERVED_FOR_MS)
    return await context.files.upload(uri, data, name, content_type, encrypted=encrypted)


def uri_of(content: dict[str, Any]) -> str:
    """The content URI in an `m.file` message."""
    return str(content["file"]["url"] if "file" in content else content["url"])
