"""`bot.py accept @user`: a moderator whose identity was reset is obeyed again where no other moderator can say so."""

from __future__ import annotations

import argparse

from cli.by_hand import change
from removal.audit_action import AuditAction
from storage import identities


def main(options: argparse.Namespace) -> int:
    """Accepts the identity that was seen last, and says so; returns the exit code. Raises: Ended."""
    return change(options, identities.accept, AuditAction.IDENTITY_ACCEPTED, "accept", "accepted")
