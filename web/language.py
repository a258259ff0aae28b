"""Which language a browser gets."""

from __future__ import annotations

from babel import negotiate_locale


def preferred(accept: str) -> list[str]:
    """The languages of a header `Accept-Language`, the most wanted first.

    Source: RFC 9110, 12.5.4.
    """
    found: list[tuple[float, int, str]] = []
    for number, each in enumerate(accept.split(",")[:20]):
        name, _, parameter = each.strip().partition(";")
        try:
            quality = float(parameter.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        if name and name != "*" and 0 < quality <= 1:
            found.append((-quality, number, name.strip()))
    return [name for _, _, name in sorted(found)]


def chosen(accept: str, known: tuple[str, ...], default: str) -> str:
    """The language that a browser wants most of those that are there.

    Args:
        accept: the header `Accept-Language`, empty where there is none.
        known: as catalogues are called, `de` or `pt_BR`.
        default: where none fits.
    """
    wanted = [name.replace("-", "_") for name in preferred(accept)]
    return negotiate_locale(wanted, list(known)) or default
