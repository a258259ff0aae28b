"""Codes by time: a step of drift, each once, few attempts; a seed is somebody's, and opens with its key only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from cryptography.fernet import Fernet

from engine.second_factor import STEP_MS, WAIT_MS, KeyLost, Seeds, Verdict, address
from storage.second_factors import Factor

NOW = 1_800_000_000_000
USER = "@anna:here"
SEED = "ABCDEFGH" * 4


def made() -> tuple[Seeds, Factor, pyotp.TOTP]:
    """A factor, and the app that has its seed."""
    seeds = Seeds(Fernet.generate_key())
    factor, seed = seeds.new(USER, NOW)
    assert seed not in factor.seed
    return seeds, factor, pyotp.TOTP(seed)


@pytest.mark.parametrize(("off", "verdict"), [(-2, "wrong"), (-1, "right"), (0, "right"), (1, "right"), (2, "wrong")])
def test_a_clock_may_be_a_step_off(off: int, verdict: str) -> None:
    """One step early or late counts, two don't."""
    seeds, factor, app = made()
    assert seeds.check(factor, app.generate_otp(NOW // STEP_MS + off), NOW)[0].value == verdict


def test_a_code_counts_once_and_no_earlier_one_after_it() -> None:
    """Replayed, or overtaken by a later one, it is used; that isn't counted as a wrong one."""
    seeds, factor, app = made()
    step = NOW // STEP_MS
    verdict, factor = seeds.check(factor, app.generate_otp(step), NOW)
    assert (verdict, factor.last_step) == (Verdict.RIGHT, step)
    for old in (step, step - 1):
        assert seeds.check(factor, app.generate_otp(old), NOW) == (Verdict.USED, factor)
    assert seeds.check(factor, app.generate_otp(step + 1), NOW)[0] is Verdict.RIGHT


def test_attempts_are_limited() -> None:
    """After five wrong ones an hour's rest, after ten no code at all; a right one starts the count anew."""
    seeds, factor, app = made()
    right = app.generate_otp(NOW // STEP_MS)
    wrong = next(
        f"{n:06}" for n in range(10) if f"{n:06}" not in {app.generate_otp(NOW // STEP_MS + o) for o in (-1, 0, 1)}
    )
    for count in range(1, 6):
        verdict, factor = seeds.check(factor, wrong, NOW)
        assert (verdict, factor.wrong) == (Verdict.WRONG, count)
    assert seeds.check(factor, right, NOW) == (Verdict.WAIT, factor)
    later = NOW + WAIT_MS
    assert seeds.check(factor, app.generate_otp(later // STEP_MS), later)[1].wrong == 0
    shut = replace(factor, wrong=10)
    assert seeds.check(shut, app.generate_otp(later // STEP_MS), later) == (Verdict.SHUT, shut)


def test_a_seed_opens_with_its_key_and_for_its_owner_only() -> None:
    """Another key, and a row that was put under somebody else's name, are refused."""
    seeds, factor, app = made()
    code = app.generate_otp(NOW // STEP_MS)
    with pytest.raises(KeyLost):
        Seeds(Fernet.generate_key()).check(factor, code, NOW)
    with pytest.raises(KeyLost):
        seeds.check(replace(factor, user_id="@eve:here"), code, NOW)


def test_the_key_is_made_once_and_missed_when_it_is_gone(tmp_path: Path) -> None:
    """Readable by its owner only, the same at the next start, and never made anew while seeds depend on it."""
    path = tmp_path / "key"
    with pytest.raises(KeyLost):
        Seeds.at(path, may_make=False)
    factor, seed = Seeds.at(path, may_make=True).new(USER, NOW)
    assert path.stat().st_mode & 0o777 == 0o600
    code = pyotp.TOTP(seed).generate_otp(NOW // STEP_MS)
    assert Seeds.at(path, may_make=False).check(factor, code, NOW)[0] is Verdict.RIGHT
    path.write_text("no key")
    with pytest.raises(KeyLost, match="reset-totp"):
        Seeds.at(path, may_make=True)


def test_what_an_app_takes() -> None:
    """The address names the person and the server."""
    parts = urlsplit(address(SEED, USER, "@lethe:here"))
    assert parts.scheme == "otpauth" and parts.netloc == "totp"
    assert parse_qs(parts.query) == {"secret": [SEED], "issuer": ["Lethe here"]}
