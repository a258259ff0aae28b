"""`bot.py reset-totp @user`: a moderator's second factor is taken off where no other moderator can."""

from __future__ import annotations

import argparse

from cli.by_hand import change
from removal.audit_action import AuditAction
from storage import second_factors


def main(options: argparse.Namespace) -> int:
    """Takes it off, and says so; returns the exit code. Raises: Ended."""
    return change(options, second_factors.forget, AuditAction.FACTOR_RESET, "reset_totp", "reset")
