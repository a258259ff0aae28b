"""From a request to what the model does, and to its answer."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from simulation.model.server import Server
from simulation.model.state import Json, Refused


@dataclass(frozen=True)
class Asked:
    """One request, taken apart. `user_id` is empty where it came without a token."""

    server: Server
    user_id: str
    ids: tuple[str, ...]
    query: Mapping[str, str]
    body: Json


_FILES = "/_matrix/media/v3/upload/"
Answerer = Callable[[Asked], Awaitable[Any]]
ROUTES: list[tuple[str, re.Pattern[str], Answerer]] = []


def route(method: str, path: str) -> Callable[[Answerer], Answerer]:
    """Declares who answers a path; `{}` stands for an id."""
    pattern = re.compile("([^/]*)".join(re.escape(part) for part in path.split("{}")))

    def declare(answerer: Answerer) -> Answerer:
        ROUTES.append((method, pattern, answerer))
        return answerer

    return declare


async def answer(server: Server, method: str, url: str, token: str, raw: bytes) -> tuple[int, Any]:
    """Answers a request: the HTTP status, and the JSON value of the body."""
    parts = urlsplit(url)
    user_id = server.tokens.get(token, "")
    for known, pattern, answerer in ROUTES:
        found = pattern.fullmatch(parts.path) if known == method else None
        if found is None:
            continue
        if not user_id:
            return 401, {"errcode": "M_UNKNOWN_TOKEN", "error": "Invalid access token passed."}
        if parts.path.startswith("/_synapse/admin/") and not server.accounts[user_id].admin:
            return 403, {"errcode": "M_FORBIDDEN", "error": "You are not a server admin"}
        # A file is taken as it is: an encrypted one may begin with any byte, and what its key is no seed decides.
        body = json.loads(raw) if raw and not parts.path.startswith(_FILES) else {}
        ids = tuple(unquote(each) for each in found.groups())
        try:
            return 200, await answerer(Asked(server, user_id, ids, dict(parse_qsl(parts.query)), body))
        except Refused as refused:
            return refused.status, refused.body
    return 404, {"errcode": "M_UNRECOGNIZED", "error": "Unrecognized request"}
