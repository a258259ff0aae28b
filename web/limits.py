"""How often one address may ask, and log in; and how often anybody may try one account."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from aiohttp import web

from handlers.throttle import Throttle

PAGES_PER_MINUTE = 120
LOG_INS_PER_TEN_MINUTES = 10
"""By an address, and by an account. The homeserver counts them too, all as coming from here: whoever tries passwords
must not use up what it allows everybody together."""


class Limits:
    """Counts in memory: after a restart everybody begins anew."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._pages = Throttle(PAGES_PER_MINUTE, 60_000, clock)
        self._addresses = Throttle(LOG_INS_PER_TEN_MINUTES, 600_000, clock)
        self._accounts = Throttle(LOG_INS_PER_TEN_MINUTES, 600_000, clock)

    def page(self, request: web.Request) -> bool:
        """Whether this address may have another page."""
        return self._pages.allows(client(request))

    def log_in(self, request: web.Request, user: str | None = None) -> bool:
        """Whether this address may try another log-in, with this account (`account_key`) where one is named."""
        if not self._addresses.allows(client(request)):
            return False  # and so it can't use up what others' accounts are allowed
        return user is None or self._accounts.allows(user)


def account_key(typed: str, server_name: str) -> str:
    """One key for all the ways to write one account: `leaver`, `@leaver`, `leaver:example.org`, `@Leaver:example.org`.

    Some homeservers take no notice of upper and lower case in a log-in, so neither does this.
    """
    localpart, _, server = typed.strip().removeprefix("@").casefold().partition(":")
    return f"@{localpart}:{server or server_name.casefold()}"


def client(request: web.Request) -> str:
    """The address that a request comes from: behind a proxy, the one that the proxy saw.

    Only the last address of `X-Forwarded-For` was written by the proxy beside us; those before it may be made up. An
    IPv6 address counts as its /64, which is what one household has.
    """
    peer = request.remote or ""
    if _beside_us(peer):
        # All lines of it: some proxies add one instead of adding to the one that came.
        peer = ",".join(request.headers.getall("X-Forwarded-For", [peer])).rpartition(",")[2].strip() or peer
    address = _address(peer)
    if address is None:
        return peer[:64]
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that is written there, without a port behind it; IPv4 written as IPv6 is IPv4."""
    host, colon, port = text.rpartition(":")
    if colon and port.isdecimal() and (host.startswith("[") or host.count(":") == 0):
        text = host
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
    return (address.ipv4_mapped if address.version == 6 else None) or address


def _beside_us(peer: str) -> bool:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return True  # a socket of this machine has no address
    return address.is_loopback or address.is_private
