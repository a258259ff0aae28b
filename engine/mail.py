"""Sending one e-mail: to the operator's mail server, by SMTP with TLS.

Nothing here writes an address into a log or an exception's text: `MailError` says what kind of thing went wrong.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from enum import StrEnum
from ssl import SSLContext, SSLError, create_default_context

import aiosmtplib

PATIENCE = 30.0
"""Seconds for each step of the conversation."""


class Tls(StrEnum):
    """How the way to the mail server is encrypted."""

    STARTTLS = "starttls"  # begins in clear text, RFC 3207; no e-mail goes before it
    TLS = "tls"  # from the first byte, RFC 8314
    NONE = "none"


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where e-mail is handed in. The password is never a part of `repr`."""

    host: str
    port: int
    tls: Tls
    from_address: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    context: SSLContext | None = None
    """Whom to trust; None for what this machine trusts."""


class MailError(Exception):
    """An e-mail couldn't be handed in. `str()` holds no address.

    Args:
        final: it's no use to try again: the address is refused for good.
    """

    def __init__(self, what: str, *, final: bool = False) -> None:
        super().__init__(what)
        self.final = final


async def send(server: MailServer, message: EmailMessage) -> None:
    """Hands an e-mail in. Raises: MailError."""
    async with _conversation(server) as client:
        await client.send_message(message)


async def try_out(server: MailServer) -> None:
    """Whether the server is there, its certificate is trusted, and it lets us in; sends nothing. Raises: MailError."""
    async with _conversation(server) as client:
        await client.noop()


@asynccontextmanager
async def _conversation(server: MailServer) -> AsyncIterator[aiosmtplib.SMTP]:
    client = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        timeout=PATIENCE,
        use_tls=server.tls is Tls.TLS,
        start_tls=server.tls is Tls.STARTTLS,
        username=server.user,
        password=server.password,
        tls_context=None if server.tls is Tls.NONE else server.context or create_default_context(),
    )
    try:
        async with client:
            yield client
    except aiosmtplib.SMTPRecipientsRefused as error:
        codes = [each.code for each in error.recipients]
        # RFC 5321, 4.2.1: 5yz is for good.
        raise MailError(f"the address is refused ({_codes(codes)})", final=all(500 <= c < 600 for c in codes)) from None
    except aiosmtplib.SMTPAuthenticationError as error:
        raise MailError(f"the mail server refuses user and password ({error.code})") from None
    except aiosmtplib.SMTPResponseException as error:
        raise MailError(f"the mail server says no ({error.code})") from None
    except (aiosmtplib.SMTPException, SSLError, OSError, ValueError) as error:
        raise MailError(f"the mail server can't be talked to ({_cause(error)})") from None


def _codes(codes: list[int]) -> str:
    return ", ".join(map(str, codes))


def _cause(error: BaseException) -> str:
    """What it is, without what it says: that may hold an address."""
    inner = error.__cause__
    while inner is not None and inner.__cause__ is not None:
        inner = inner.__cause__
    if isinstance(inner or error, SSLError):
        return f"TLS: {getattr(inner or error, 'verify_message', '') or getattr(inner or error, 'reason', '')}"
    return type(inner or error).__name__
