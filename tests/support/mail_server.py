"""A real SMTP server (aiosmtpd) with TLS and a log-in, for the receipts by e-mail."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from engine.mail import MailServer, Tls
from sandbox.certificate import server_context
from sandbox.synapse_process import free_port

USER, PASSWORD = "lethe", "correct-horse-mail"
FROM = "lethe@example.org"


@dataclass
class Mailbox:
    """What came in, and how the next ones are answered."""

    server: MailServer
    certificate: Path
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    """The next RCPT TO of each is answered so."""
    encrypted: list[bool] = field(default_factory=list)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Somebody is to get the mail."""
        if self.answers:
            return self.answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """A mail came."""
        message = message_from_bytes(envelope.original_content or b"", policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.mails.append(message)
        self.recipients += envelope.rcpt_tos
        transport = server.transport
        self.encrypted.append(transport is not None and transport.get_extra_info("cipher") is not None)
        return "250 OK"


@asynccontextmanager
async def mail_server(folder: Path, tls: Tls = Tls.STARTTLS) -> AsyncIterator[Mailbox]:
    """Runs one at a free port of this machine, in a thread of its own."""
    port = free_port()
    context, certificate = server_context(folder)
    trusts = ssl.create_default_context(cafile=certificate)
    box = Mailbox(MailServer("127.0.0.1", port, tls, FROM, USER, PASSWORD, trusts), certificate)

    def let_in(server: SMTP, session: Session, envelope: Envelope, mechanism: str, auth: object) -> AuthResult:
        right = isinstance(auth, LoginPassword) and (auth.login, auth.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=right, handled=right)

    controller = Controller(
        box, hostname="127.0.0.1", port=port, authenticator=let_in, auth_required=tls is Tls.STARTTLS,
        ssl_context=context if tls is Tls.TLS else None, tls_context=context if tls is Tls.STARTTLS else None,
        require_starttls=tls is Tls.STARTTLS, auth_require_tls=tls is Tls.STARTTLS,
    )  # fmt: skip
    controller.start()
    try:
        yield box
    finally:
        controller.stop()
