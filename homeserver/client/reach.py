"""Where a homeserver is, and what stands in the way of it: found by its server name, and told apart within seconds.

Nothing here needs a token or changes anything.

Sources: Matrix client-server API, "Server discovery", `GET /_matrix/client/versions`; server-server API,
`GET /_matrix/key/v2/server`, `GET /_matrix/federation/v1/version`; Synapse admin API, `GET
/_synapse/admin/v1/server_version` (needs no token).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from homeserver.client.incoming_json import decode

PATIENCE = 4.0
"""Seconds for one look. The looks of `look` run side by side, so it takes no longer."""
LOCAL = "http://127.0.0.1:8008"
"""Where Synapse's own default configuration listens."""
_ANSWER_MAX = 100_000


class Reach(StrEnum):
    """What was found at an address."""

    SYNAPSE = "synapse"  # a Synapse whose admin API answers
    DENDRITE = "dendrite"  # a homeserver that isn't Synapse, and the bot can't run on
    CONDUIT = "conduit"  # another, or one of those made from it
    TUWUNEL = "tuwunel"  # one of those, which serves a part of Synapse's admin API
    NO_ADMIN_API = "no_admin_api"  # a homeserver, but its admin API isn't to be reached here, or it is no Synapse
    OTHER_SCHEME = "other_scheme"  # http where https was asked for, or the other way round
    REDIRECTED = "redirected"  # to another address
    MOVED = "moved"  # not here, but the server's .well-known names another address
    NO_SUCH_HOST = "no_such_host"  # the name can't be resolved
    REFUSED = "refused"  # nothing listens
    SILENT = "silent"  # connected or not, nothing came
    CERTIFICATE = "certificate"  # a certificate that isn't trusted
    GATEWAY = "gateway"  # a proxy answers, the homeserver behind it doesn't
    NOT_MATRIX = "not_matrix"  # something else answers


OTHERS = {
    "dendrite": Reach.DENDRITE,
    "conduit": Reach.CONDUIT,
    "conduwuit": Reach.CONDUIT,
    "continuwuity": Reach.CONDUIT,
    "tuwunel": Reach.TUWUNEL,
}
"""What other homeservers call themselves (`GET /_matrix/federation/v1/version`, `server.name`), in small letters."""


@dataclass(frozen=True, slots=True)
class Found:
    """Args: url: the address that would be right, else the one that was asked; detail: of the error, for people, or
    another homeserver's name and version; version: Synapse's, where it answers."""

    reach: Reach
    url: str
    detail: str = ""
    version: str = ""


async def look(session: aiohttp.ClientSession, url: str) -> Found:
    """Looks what is at an address, and where it isn't a homeserver, what would be right. The network raises nothing."""
    parts = urlsplit(url)
    other = f"{'http' if parts.scheme == 'https' else 'https'}://{parts.netloc}{parts.path}"
    # Side by side, so that a silent address doesn't cost its patience three times.
    looking = asyncio.create_task(_look_once(session, other))
    asking = asyncio.create_task(_well_known(session, f"{parts.scheme}://{parts.netloc}"))
    try:
        found = await _look_once(session, url)
        if found.reach not in (Reach.REFUSED, Reach.SILENT, Reach.GATEWAY, Reach.NOT_MATRIX):
            return found
        swapped, named = await looking, await asking
    finally:
        looking.cancel()
        asking.cancel()
    if swapped.reach in (Reach.SYNAPSE, Reach.NO_ADMIN_API, *OTHERS.values()):
        return Found(Reach.OTHER_SCHEME, other, found.detail)
    if named is not None and named.rstrip("/") != url and found.reach is Reach.NOT_MATRIX:
        return Found(Reach.MOVED, named.rstrip("/"))
    return found


async def discover(session: aiohttp.ClientSession, server_name: str) -> Found:
    """Finds the address of a server by its name: by `.well-known`, at the name itself, and on this machine.

    The first whose admin API answers is taken: proxies often pass on the client API only, and then the bot has to
    run beside the homeserver. Whether an address of this machine is that server shows only at a log-in, unless the
    homeserver tells its name.
    """
    named = await _well_known(session, f"https://{server_name}")
    candidates = [*([named.rstrip("/")] if named else []), f"https://{server_name}", LOCAL]
    looked = await asyncio.gather(*(_look_once(session, each) for each in dict.fromkeys(candidates)))
    for wanted in (Reach.SYNAPSE, Reach.NO_ADMIN_API, *OTHERS.values()):
        for found in looked:
            if found.reach is wanted and await name_of(session, found.url) in (None, server_name):
                return found
    return looked[0]


async def name_of(session: aiohttp.ClientSession, url: str) -> str | None:
    """The homeserver's own name, or None where it doesn't tell (its listener may not serve its keys)."""
    answer = (await _get(session, f"{url}/_matrix/key/v2/server"))[1]
    name = answer.get("server_name") if isinstance(answer, dict) else None
    return name if isinstance(name, str) else None


async def _look_once(session: aiohttp.ClientSession, url: str) -> Found:
    try:
        (status, answer, location), (admin_status, admin, _), (_, about) = await asyncio.gather(
            _ask(session, f"{url}/_matrix/client/versions"),
            _ask(session, f"{url}/_synapse/admin/v1/server_version"),
            _get(session, f"{url}/_matrix/federation/v1/version"),
        )
    except TimeoutError:
        return Found(Reach.SILENT, url, f"no answer within {PATIENCE:g} s")
    except aiohttp.ClientConnectorCertificateError as error:
        return Found(Reach.CERTIFICATE, url, str(error.certificate_error))
    except aiohttp.ClientConnectorDNSError as error:
        return Found(Reach.NO_SUCH_HOST, url, error.strerror or "")
    except aiohttp.ClientConnectorError as error:
        kind = Reach.NOT_MATRIX if isinstance(error, aiohttp.ClientSSLError) else Reach.REFUSED
        return Found(kind, url, str(error.os_error))
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Found(Reach.NOT_MATRIX, url, str(error) or type(error).__name__)
    if location:
        return Found(Reach.REDIRECTED, location.partition("/_matrix")[0].rstrip("/"), f"it answers {status}")
    if status in (502, 503, 504):
        return Found(Reach.GATEWAY, url, f"it answers {status}")
    is_matrix = isinstance(answer, dict) and (isinstance(answer.get("versions"), list) or "errcode" in answer)
    if not is_matrix:
        return Found(Reach.NOT_MATRIX, url, f"it answers {status}")
    name, number = _server_of(about)
    if (other := OTHERS.get(name.lower())) is not None:
        return Found(other, url, f"{name} {number}".strip()[:100])
    version = admin.get("server_version") if isinstance(admin, dict) else None
    if admin_status == 200 and isinstance(version, str):
        return Found(Reach.SYNAPSE, url, version=version)
    return Found(Reach.NO_ADMIN_API, url, f"it answers {admin_status}")


def _server_of(about: Any) -> tuple[str, str]:
    """Name and version of a homeserver, as it tells other servers; empty where it doesn't."""
    server = about.get("server") if isinstance(about, dict) else None
    if not isinstance(server, dict):
        return "", ""
    name, version = server.get("name"), server.get("version")
    return name if isinstance(name, str) else "", version if isinstance(version, str) else ""


async def _well_known(session: aiohttp.ClientSession, origin: str) -> str | None:
    """The address in `/.well-known/matrix/client`, or None where there is none that can be used."""
    _, answer = await _get(session, f"{origin}/.well-known/matrix/client")
    section = answer.get("m.homeserver") if isinstance(answer, dict) else None
    url = section.get("base_url") if isinstance(section, dict) else None
    return url if isinstance(url, str) and urlsplit(url).scheme in ("http", "https") else None


async def _get(session: aiohttp.ClientSession, url: str) -> tuple[int, Any]:
    """Status and JSON; 0 and None where nothing came."""
    try:
        status, answer, _ = await _ask(session, url, redirects=True)
    except (aiohttp.ClientError, OSError, ValueError):  # TimeoutError is an OSError
        return 0, None
    return status, answer if status == 200 else None


async def _ask(session: aiohttp.ClientSession, url: str, *, redirects: bool = False) -> tuple[int, Any, str]:
    """Status, JSON (None where it is none), and where it was redirected to."""
    limit = aiohttp.ClientTimeout(total=PATIENCE)
    async with session.get(url, timeout=limit, allow_redirects=redirects) as response:
        raw = await response.content.read(_ANSWER_MAX)
        location = response.headers.get("Location", "") if 300 <= response.status < 400 else ""
        try:
            return response.status, decode(raw), location
        except (ValueError, RecursionError):
            return response.status, None, location
