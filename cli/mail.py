"""The mail server of the settings."""

from __future__ import annotations

from config import Smtp
from engine.mail import MailServer, Tls


def mail_server(smtp: Smtp) -> MailServer | None:
    """What the settings say; None where no e-mail is sent."""
    if smtp.host is None or smtp.from_address is None:
        return None
    password = smtp.password.get_secret_value() if smtp.password else None
    return MailServer(smtp.host, smtp.port, Tls(smtp.tls), smtp.from_address, smtp.user, password)
