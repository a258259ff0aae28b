"""One-time codes by time (TOTP, RFC 6238), and the key that seeds are encrypted with.

The key stands in a file of its own. Whoever gets the database alone, such as from a copy of it, can make no codes;
whoever gets the key too can.
"""

from __future__ import annotations

import hmac
import json
import os
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

import pyotp
from cryptography.fernet import Fernet, InvalidToken

from storage.second_factors import Factor

STEP_MS = 30_000
DRIFT = 1
"""Steps that a person's clock may be early or late."""
WRONG_AT_ONCE = 5
WAIT_MS = 3_600_000
"""After so many wrong codes, none counts for so long."""
WRONG_AT_MOST = 10
"""After so many without a right one between, none counts until somebody else resets the factor."""


class KeyLost(Exception):
    """The seeds can't be read. `str()` says why, and what to do."""


class Verdict(StrEnum):
    """What a code is."""

    RIGHT = "right"
    USED = "used"  # it, or a later one, has been used
    WRONG = "wrong"
    WAIT = "wait"  # not looked at: too many wrong ones in the last hour
    SHUT = "shut"  # not looked at: too many wrong ones altogether


class Seeds:
    """Encrypts and opens seeds.

    Args:
        key: as `Fernet.generate_key` makes it.
    """

    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(key)

    @classmethod
    def at(cls, path: Path, *, may_make: bool) -> Seeds:
        """With the key of a file, which is made (0600) where it isn't there.

        Args:
            may_make: nothing was encrypted with a key that is lost.

        Raises:
            KeyLost: it can't be read, or isn't there and would be missed.
        """
        try:
            if not path.exists() and may_make:
                with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(Fernet.generate_key() + b"\n")
            return cls(path.read_bytes().strip())
        except (OSError, ValueError) as error:
            raise KeyLost(
                f"the key of the second factors, {path}, can't be used ({error}). Put it back from a backup; without "
                "it, each moderator's second factor has to be reset: lethe reset-totp @user"
            ) from None

    def new(self, user_id: str, now: int) -> tuple[Factor, str]:
        """A new factor, and its seed in clear. `now`: milliseconds since 1970."""
        seed = pyotp.random_base32()
        return Factor(user_id, self._fernet.encrypt(json.dumps([user_id, seed]).encode()).decode(), now), seed

    def check(self, factor: Factor, code: str, now: int) -> tuple[Verdict, Factor]:
        """What a code is worth, and the factor as it has to be stored from then on.

        Args:
            code: six digits.
            now: milliseconds since 1970.

        Raises:
            KeyLost: the seed can't be opened with this key, or is another person's.
        """
        if factor.wrong >= WRONG_AT_MOST:
            return Verdict.SHUT, factor
        if factor.wrong and factor.wrong % WRONG_AT_ONCE == 0 and now - factor.wrong_ts < WAIT_MS:
            return Verdict.WAIT, factor
        totp, at = pyotp.TOTP(self._open(factor)), now // STEP_MS
        # All steps are compared, whichever fits.
        fitting = [step for step in range(at - DRIFT, at + DRIFT + 1) if hmac.compare_digest(_code(totp, step), code)]
        fresh = [step for step in fitting if step > factor.last_step]
        if fresh:
            return Verdict.RIGHT, replace(factor, last_step=max(fresh), wrong=0)
        if fitting:
            return Verdict.USED, factor
        return Verdict.WRONG, replace(factor, wrong=factor.wrong + 1, wrong_ts=now)

    def _open(self, factor: Factor) -> str:
        try:
            user_id, seed = json.loads(self._fernet.decrypt(factor.seed.encode()))
        except (InvalidToken, ValueError):
            raise KeyLost(f"the second factor of {factor.user_id} was encrypted with another key") from None
        if user_id != factor.user_id:
            raise KeyLost(f"the second factor of {factor.user_id} was written for somebody else")
        return str(seed)


def _code(totp: pyotp.TOTP, step: int) -> str:
    return totp.generate_otp(step)


def address(seed: str, user_id: str, bot_id: str) -> str:
    """What an authenticator app takes: `otpauth://totp/…`."""
    return pyotp.TOTP(seed).provisioning_uri(name=user_id, issuer_name=f"Lethe {bot_id.partition(':')[2]}")
