"""Whom the page counts, and what a full count costs others."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from web.limits import LOG_INS_PER_TEN_MINUTES, Limits, account_key, client


def asked(*forwarded: str) -> web.Request:
    """A request that a proxy on this machine passes on."""
    return make_mocked_request("GET", "/", CIMultiDict([("X-Forwarded-For", each) for each in forwarded]))


@pytest.mark.parametrize(
    ("forwarded", "counted"),
    [
        (("203.0.113.7",), "203.0.113.7"),
        (("198.51.100.1, 203.0.113.7",), "203.0.113.7"),
        (("198.51.100.1", "203.0.113.7"), "203.0.113.7"),
        (("203.0.113.7:51234",), "203.0.113.7"),
        (("::ffff:203.0.113.7",), "203.0.113.7"),
        (("2001:db8:1:2:3:4:5:6",), "2001:db8:1:2::/64"),
        (("[2001:db8:1:2::9]:443",), "2001:db8:1:2::/64"),
    ],
)
def test_who_asks_is_whom_the_proxy_saw(forwarded: tuple[str, ...], counted: str) -> None:
    """Whatever else the header says, in however many lines; a port makes nobody another one."""
    assert client(asked(*forwarded)) == counted


def test_a_full_address_uses_up_nobodys_tries() -> None:
    """Who has tried too often can't keep others from their own accounts by naming them."""
    limits = Limits(lambda: 0)
    greedy, owner = asked("203.0.113.7"), asked("203.0.113.8")
    assert all(limits.log_in(greedy, f"@{number}:example.org") for number in range(LOG_INS_PER_TEN_MINUTES))
    assert not any(limits.log_in(greedy, "@owner:example.org") for _ in range(50))
    assert limits.log_in(owner, "@owner:example.org")


@pytest.mark.parametrize(
    "typed", ["leaver", "@leaver", "leaver:example.org", "@leaver:example.org", " @LEAVER:Example.org"]
)
def test_one_account_is_one_key(typed: str) -> None:
    """However it is written: nobody gets more tries by writing it differently."""
    assert account_key(typed, "example.org") == "@leaver:example.org"
    assert account_key("@leaver:elsewhere.org", "example.org") != account_key(typed, "example.org")
