"""A small client for JSON APIs over HTTP, and the errors that every call to a homeserver may raise.

    HomeserverError
    ├── Unreachable        no connection, reset, time-out: whether the homeserver acted is UNKNOWN
    │   └── BadAnswer      an answer came, but not JSON, cut short, or not of the shape expected: UNKNOWN too
    ├── ServerFault        5xx: the homeserver failed; treat what it did as unknown
    ├── TooLarge           more came than was to be read
    ├── RateLimited        429: nothing was done; `retry_after` says how long to wait
    └── Refused            any other 4xx: nothing was done
        ├── BadToken       401
        ├── Forbidden      403
        └── NotFound       404

`str()` of each is one plain sentence fit for a log: method, path, status, the server's own error code and text. It
never holds the access token and never the request's body. There are no retries: only the caller knows whether asking
twice is safe.

Sources: Matrix client-server API, "API Standards" (errors, 429); RFC 9110, 10.2.3 (Retry-After).
"""

from __future__ import annotations

import json as jsonlib
import math
import re
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from homeserver.client.clock import HomeserverClock
from homeserver.client.incoming_json import decode

MESSAGE_MAX = 300
"""Characters of the server's own error text that are kept."""
RETRY_AFTER_MAX = 86_400.0
"""Seconds. A server that asks for more than a day is not believed."""

Json = Mapping[str, Any] | Sequence[Any]
Params = Mapping[str, str | int | bool | Sequence[str]]
Observe = Callable[[str, str, int, float], None]
"""Told of method, path (with `{}` for ids), HTTP status (0: no answer) and seconds."""

_ERRCODE = re.compile(r"[A-Za-z0-9_.]{1,100}")
_READABLE = "@:!$#+~"  # what is left as it is when an id is shown in an error


class HomeserverError(Exception):
    """A call to a homeserver failed."""


class Unreachable(HomeserverError):
    """No connection, reset or time-out. Whether the homeserver acted is unknown."""


class BadAnswer(Unreachable):
    """An answer that can't be read or isn't of the shape expected. Whether the homeserver acted is unknown."""


class TooLarge(HomeserverError):
    """There is more than the caller wants to read. Nothing was done."""


class _Answered(HomeserverError):
    """The homeserver answered with an error.

    Args:
        sentence: what `str()` gives.
        status: the HTTP status.
        errcode: Matrix's error code (`M_…`), empty where there is none.
        message: the server's own text, cut and without control characters; empty where there is none.
    """

    def __init__(self, sentence: str, status: int, errcode: str = "", message: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.errcode = errcode
        self.message = message


class ServerFault(_Answered):
    """5xx. The homeserver failed; it may have done a part of what was asked."""


class RateLimited(_Answered):
    """429. `retry_after` is in seconds, None where the server doesn't say."""

    def __init__(
        self, sentence: str, status: int = 429, errcode: str = "", message: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(sentence, status, errcode, message)
        self.retry_after = retry_after


class Refused(_Answered):
    """4xx other than 429. Nothing was done."""


class BadToken(Refused):
    """401. The access token is unknown or missing."""


class Forbidden(Refused):
    """403. This account may not do it."""


class NotFound(Refused):
    """404. There is no such thing, or no such path (`errcode` is then `M_UNRECOGNIZED`)."""


class Api:
    """JSON over HTTP with an access token.

    Args:
        session: owned, and closed, by the caller.
        base_url: scheme, host, and a path in front of all paths where there is one.
        access_token: sent as a bearer token; None sends none.
        clock: is told the homeserver's time with each answer.
        observe: told of each answer, for monitoring.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        access_token: str | None,
        clock: HomeserverClock | None = None,
        observe: Observe | None = None,
    ) -> None:
        self._session = session
        self._observe = observe
        self._base_url = base_url.rstrip("/")
        self._token = access_token
        self._clock = clock or HomeserverClock()

    def with_token(self, access_token: str | None) -> Api:
        """The same homeserver and session, as somebody else; None as nobody."""
        return Api(self._session, self._base_url, access_token, self._clock, self._observe)

    @staticmethod
    def address(base_url: str, path: str, *ids: str, params: Params | None = None) -> str:
        """The whole address of a path; arguments as for `call`."""
        url = base_url + path.format(*[_segment(each) for each in ids])
        if params:
            url += "?" + urlencode({name: _query_value(value) for name, value in params.items()}, doseq=True)
        return url

    async def call(
        self,
        method: str,
        path: str,
        *ids: str,
        json: Json | None = None,
        params: Params | None = None,
        timeout: float = 30.0,
    ) -> dict[str, Any]:
        """Asks, and gives back the JSON object that came.

        Args:
            method: the HTTP method.
            path: begins with `/` and holds `{}` for each of the ids.
            *ids: percent-encoded into the path, each as one segment.
            json: the body, or None for none.
            params: the query.
            timeout: seconds for the whole exchange.

        Returns:
            The object; empty for 204.

        Raises:
            ValueError: an id is empty, `.`, `..` or no valid Unicode; nothing was sent.
            HomeserverError: see this module's tree.
        """
        answer = await self._exchange(method, path, ids, json, params, timeout)
        if not isinstance(answer, dict):
            raise BadAnswer(f"{_shown(method, path, ids)}: the answer is no JSON object")
        return answer

    async def call_list(
        self,
        method: str,
        path: str,
        *ids: str,
        params: Params | None = None,
        timeout: float = 30.0,
    ) -> list[dict[str, Any]]:
        """Like `call`, for the paths that answer with a list of objects.

        Raises:
            ValueError: as for `call`.
            HomeserverError: as for `call`; an element that is no object makes the whole answer a `BadAnswer`.
        """
        answer = await self._exchange(method, path, ids, None, params, timeout)
        if not isinstance(answer, list) or not all(isinstance(item, dict) for item in answer):
            raise BadAnswer(f"{_shown(method, path, ids)}: the answer is no list of JSON objects")
        return answer

    async def upload(
        self, path: str, *ids: str, data: bytes, content_type: str, params: Params, timeout: float
    ) -> dict[str, Any]:
        """Sends bytes by PUT, and gives back the JSON object that came.

        Raises:
            HomeserverError: as for `call`.
        """
        answer = await self._exchange("PUT", path, ids, None, params, timeout, data, content_type)
        if not isinstance(answer, dict):
            raise BadAnswer(f"PUT {path}: the answer is no JSON object")
        return answer

    async def leads_to(self, path: str, *ids: str, params: Params | None = None, timeout: float = 30.0) -> str:
        """Where the homeserver sends a browser that asks for this: `Location`, not followed.

        Raises:
            HomeserverError: as for `call`; an answer that leads nowhere is a `BadAnswer`.
        """
        url = self.address(self._base_url, path, *ids, params=params)
        what = _shown("GET", path, ids)
        try:
            async with self._session.get(
                URL(url, encoded=True), timeout=aiohttp.ClientTimeout(total=timeout), allow_redirects=False
            ) as response:
                raw, status, location = await response.read(), response.status, response.headers.get("Location", "")
                headers = response.headers
        except TimeoutError:
            raise Unreachable(f"{what}: no answer within {timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{what}: {type(error).__name__}: {self._clean(str(error))}") from None
        if 300 <= status < 400 and location:
            return str(URL(url, encoded=True).join(URL(location, encoded=True)))
        self._judge(what, status, headers, raw)
        raise BadAnswer(f"{what}: {status}, but it leads nowhere")

    def elsewhere(self, base_url: str) -> Api:
        """Another server at this address, without a token: its time is nobody's business."""
        return Api(self._session, base_url, None)

    async def form(
        self,
        path: str,
        fields: Mapping[str, str],
        *,
        user: str | None = None,
        password: str = "",
        timeout: float = 30.0,
    ) -> dict[str, Any]:
        """Sends a form by POST, as `user` with HTTP's basic authentication, and gives back the JSON object that came.

        Name and password go as they are: RFC 6749, 2.3.1, wants them encoded, but MAS doesn't decode them.

        Raises:
            HomeserverError: as for `call`.
        """
        answer = await self._exchange(
            "POST",
            path,
            (),
            None,
            None,
            timeout,
            urlencode(fields).encode(),
            "application/x-www-form-urlencoded",
            None if user is None else aiohttp.encode_basic_auth(user, password, "utf-8"),
        )
        if not isinstance(answer, dict):
            raise BadAnswer(f"POST {path}: the answer is no JSON object")
        return answer

    async def download(self, path: str, *ids: str, most: int, timeout: float) -> bytes:
        """Fetches bytes by GET, and stops where there are more than `most`.

        Raises:
            TooLarge: there are more.
            HomeserverError: as for `call`.
        """
        url = self._base_url + path.format(*[_segment(each) for each in ids])
        headers = {"Authorization": f"Bearer {self._token}"} if self._token is not None else {}
        what = _shown("GET", path, ids)
        try:
            async with self._session.get(
                URL(url, encoded=True),
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=timeout),
                allow_redirects=False,
            ) as response:
                if response.status != 200:
                    self._judge(what, response.status, response.headers, await response.read())
                    raise BadAnswer(f"{what}: {response.status}")
                if (response.content_length or 0) > most:
                    raise TooLarge(f"{what}: {response.content_length} bytes, more than {most}")
                received = bytearray()
                async for part in response.content.iter_chunked(65_536):
                    received += part
                    if len(received) > most:
                        raise TooLarge(f"{what}: more than {most} bytes")
                return bytes(received)
        except TimeoutError:
            raise Unreachable(f"{what}: no answer within {timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{what}: {type(error).__name__}: {self._clean(str(error))}") from None

    async def _exchange(
        self,
        method: str,
        path: str,
        ids: tuple[str, ...],
        json: Json | None,
        params: Params | None,
        timeout: float,
        data: bytes | None = None,
        content_type: str = "application/json",
        authorization: str | None = None,
    ) -> Any:
        url = self.address(self._base_url, path, *ids, params=params)
        headers = {"Accept": "application/json"}
        if self._token is not None:
            authorization = f"Bearer {self._token}"
        if authorization is not None:
            headers["Authorization"] = authorization
        body = data if json is None else jsonlib.dumps(json, allow_nan=False).encode()
        if body is not None:
            headers["Content-Type"] = content_type
        what = _shown(method, path, ids)
        begun = self._clock.steady()
        began, status = time.monotonic(), 0
        try:
            async with self._session.request(
                method,
                URL(url, encoded=True),  # or yarl would decode and encode anew, and `%2F` could become `/`
                data=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=timeout),
                allow_redirects=False,  # an API doesn't move; following one could hand the token to another host
            ) as response:
                raw = await response.read()
                status = response.status
        except TimeoutError:
            raise Unreachable(f"{what}: no answer within {timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            # `from None`: a library's exception carries request headers, and a traceback is logged with its causes
            raise Unreachable(f"{what}: {type(error).__name__}: {self._clean(str(error))}") from None
        finally:
            if self._observe is not None:
                self._observe(method, path, status, time.monotonic() - began)
        if response.status < 500:  # else perhaps a proxy speaks, in the place of a homeserver that is away
            self._clock.heard(response.headers, begun, self._clock.steady())
        return self._judge(what, response.status, response.headers, raw)

    def _judge(self, what: str, status: int, headers: Mapping[str, str], raw: bytes) -> Any:
        """Gives the decoded answer of a success, raises for everything else."""
        if status == 204:
            return {}
        decoded, answer = _decode(raw)
        if 200 <= status < 300:
            if not decoded:
                raise BadAnswer(f"{what}: {status}, but the answer is not JSON")
            return answer
        errcode, message = self._error_of(answer)
        sentence = " ".join(part for part in (f"{what}: {status}", errcode, message) if part)
        if status >= 500:
            raise ServerFault(sentence, status, errcode, message)
        if status == 429:
            raise RateLimited(sentence, status, errcode, message, retry_after=_retry_after(headers, answer))
        if status < 400 or not isinstance(answer, dict):
            # Not the homeserver speaking: a proxy in between, whose 404 must never read as "no such account".
            raise BadAnswer(f"{what}: {status}, and the answer is no JSON object")
        kind = {401: BadToken, 403: Forbidden, 404: NotFound}.get(status, Refused)
        raise kind(sentence, status, errcode, message)

    def _error_of(self, answer: Any) -> tuple[str, str]:
        """The error code and text: Matrix's (`errcode`, `error`) or MAS's (`errors: [{title}]`)."""
        if not isinstance(answer, dict):
            return "", ""
        errcode = answer.get("errcode")
        errcode = errcode if isinstance(errcode, str) and _ERRCODE.fullmatch(errcode) else ""
        texts = [answer.get("error"), answer.get("error_description")]
        errors = answer.get("errors")
        if isinstance(errors, list):
            texts += [each.get("title") for each in errors if isinstance(each, dict)]
        return errcode, self._clean(": ".join(text for text in texts if isinstance(text, str) and text))

    def _clean(self, text: str) -> str:
        """One line of at most MESSAGE_MAX characters, without control characters and without the token."""
        if self._token:
            text = text.replace(self._token, "…")
        text = "".join(" " if unicodedata.category(each)[0] in "CZ" else each for each in text)
        text = " ".join(text.split())
        return text if len(text) <= MESSAGE_MAX else text[: MESSAGE_MAX - 1] + "…"


def _segment(identifier: str) -> str:
    """One path segment. Dots alone can't be encoded so that every proxy on the way leaves them alone."""
    if identifier in ("", ".", ".."):
        raise ValueError(f"{identifier!r} can't be a part of a path")
    return quote(identifier, safe="")


def _shown(method: str, path: str, ids: Sequence[str]) -> str:
    """Method and path for people: ids readable, everything strange still encoded."""
    return f"{method} {path.format(*[quote(each, safe=_READABLE) for each in ids])}"


def _query_value(value: str | int | bool | Sequence[str]) -> str | list[str]:
    if not isinstance(value, str) and isinstance(value, Sequence):
        return list(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _decode(raw: bytes) -> tuple[bool, Any]:
    try:
        return True, decode(raw)
    except (ValueError, RecursionError):
        return False, None


def _retry_after(headers: Mapping[str, str], answer: Any) -> float | None:
    """Seconds to wait: the header `Retry-After` (seconds or a date), else `retry_after_ms`, else None."""
    header = headers.get("Retry-After", "").strip()
    if header.isascii() and header.isdigit():
        return _bounded(float(header[:20]))
    try:
        # Held against the server's own clock: ours may differ.
        wait = parsedate_to_datetime(header) - parsedate_to_datetime(headers.get("Date", ""))
        return _bounded(wait.total_seconds())
    except (TypeError, ValueError):
        pass
    milliseconds = answer.get("retry_after_ms") if isinstance(answer, dict) else None
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float) or not math.isfinite(milliseconds):
        return None
    return _bounded(milliseconds / 1000)


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), RETRY_AFTER_MAX)
