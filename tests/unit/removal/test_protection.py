"""Who is never removed, and which removals make no sense."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from removal.facts import Facts
from removal.ids import InvalidUserID
from removal.plan import Aim, Options
from removal.protection import Refusal, Surroundings, refuse_account, refuse_name, refuse_own

AROUND = Surroundings(
    bot_id="@lethe:example.org",
    server_name="example.org",
    protected=("@operator:example.org", "team-*", "@*-bot:example.org"),
    moderators={"@moderator:example.org", "@far-moderator:elsewhere.example"},
)
MODERATOR = "@moderator:example.org"


@pytest.mark.parametrize(
    ("target", "refusal"),
    [
        ("@spammer:example.org", None),
        ("@spammer:elsewhere.example", Refusal.OTHER_SERVER),
        ("@spammer:EXAMPLE.org", Refusal.OTHER_SERVER),
        ("@spammer:example.org:8448", Refusal.OTHER_SERVER),
        ("@far-moderator:elsewhere.example", Refusal.OTHER_SERVER),
        ("@lethe:example.org", Refusal.THE_BOT),
        (MODERATOR, Refusal.YOURSELF),
        ("@operator:example.org", Refusal.PROTECTED),
        ("@team-one:example.org", Refusal.PROTECTED),
        ("@weather-bot:example.org", Refusal.PROTECTED),
        ("@Operator:example.org", None),
        ("@team:example.org", None),
    ],
)
def test_refusals_by_name(target: str, refusal: Refusal | None) -> None:
    """A name alone is enough to refuse these; case and the server's port are part of a name."""
    assert refuse_name(target, MODERATOR, AROUND) is refusal


def test_a_moderator_is_no_target_for_another() -> None:
    """Take the right away first, then ask again."""
    assert refuse_name(MODERATOR, "@second-moderator:example.org", AROUND) is Refusal.MODERATOR


def test_ones_own_request_passes_but_not_for_the_protected_and_the_last_moderator() -> None:
    """People name themselves; not the protected, nobody outside the allowed, and not the last who can moderate."""
    leaver = "@leaver:example.org"
    assert refuse_own(leaver, AROUND, ("*",)) is None
    assert refuse_own(leaver, AROUND, ("staff-*",)) is Refusal.NOT_ALLOWED
    operator = "@operator:example.org"
    assert refuse_own(operator, AROUND, ("*",)) is Refusal.PROTECTED
    both = {MODERATOR, leaver}
    assert refuse_own(MODERATOR, replace(AROUND, moderators=both, acting={MODERATOR}), ("*",)) is Refusal.LAST_MODERATOR
    assert refuse_own(MODERATOR, replace(AROUND, moderators=both, acting=both), ("*",)) is None
    assert refuse_own(leaver, replace(AROUND, moderators=both, acting={MODERATOR}), ("*",)) is None


def test_the_bot_is_never_removed_even_if_it_asks() -> None:
    """Its own id comes before every other rule about persons."""
    assert refuse_own("@lethe:example.org", AROUND, ("*",)) is Refusal.THE_BOT


def test_what_is_no_matrix_id_is_no_target() -> None:
    """A caller that didn't parse it first is a mistake in the program, not a refusal."""
    with pytest.raises(InvalidUserID):
        refuse_name("spammer", MODERATOR, AROUND)


F = Facts()


@pytest.mark.parametrize(
    ("facts", "erase", "moderation", "own"),
    [
        (None, False, Refusal.UNKNOWN, Refusal.UNKNOWN),
        (F, False, None, None),
        (F, True, None, None),
        (replace(F, admin=True), True, Refusal.SERVER_ADMIN, Refusal.SERVER_ADMIN),
        (replace(F, appservice=True), True, Refusal.APPSERVICE, Refusal.APPSERVICE),
        (replace(F, guest=True), False, None, Refusal.GUEST),
        (replace(F, suspended=True), False, None, Refusal.SUSPENDED),
        (replace(F, locked=True), False, None, Refusal.LOCKED),
        (replace(F, deactivated=True), False, Refusal.ALREADY_DEACTIVATED, Refusal.ALREADY_DEACTIVATED),
        (replace(F, deactivated=True), True, None, None),
        (replace(F, deactivated=True, erased=True), True, Refusal.ALREADY_ERASED, Refusal.ALREADY_ERASED),
        (replace(F, deactivated=True, erased=True), False, Refusal.ALREADY_ERASED, Refusal.ALREADY_ERASED),
        (replace(F, admin=True, deactivated=True), False, Refusal.SERVER_ADMIN, Refusal.SERVER_ADMIN),
    ],
)
def test_refusals_by_the_accounts_state(
    facts: Facts | None, erase: bool, moderation: Refusal | None, own: Refusal | None
) -> None:
    """What the homeserver says of the account decides; a moderator may remove what a person may not ask for."""
    assert refuse_account(facts, Options(erase=erase)) is moderation
    assert refuse_account(facts, Options(erase=erase), own=True) is own


@pytest.mark.parametrize(
    ("facts", "refusal"),
    [
        (None, Refusal.UNKNOWN),
        (F, Refusal.NOT_DEACTIVATED),
        (replace(F, suspended=True), Refusal.NOT_DEACTIVATED),
        (replace(F, deactivated=True), None),
        (replace(F, half_deactivated=True), None),
        (replace(F, deactivated=True, half_deactivated=True), None),
        (replace(F, deactivated=True, erased=True), None),
        (replace(F, admin=True, deactivated=True), Refusal.SERVER_ADMIN),
    ],
)
def test_only_what_is_deactivated_is_reactivated(facts: Facts | None, refusal: Refusal | None) -> None:
    """Also what is so in the homeserver or in the service that keeps log-ins only; whether it was erased or not."""
    assert refuse_account(facts, Options(aim=Aim.REACTIVATE)) is refusal


FLAGS = st.fixed_dictionaries(
    {name: st.booleans() for name in ("admin", "deactivated", "erased", "suspended", "locked", "guest", "appservice")}
)


@given(flags=FLAGS, erase=st.booleans(), own=st.booleans())
def test_a_server_admin_or_an_application_services_account_is_never_removed(
    flags: dict[str, bool], erase: bool, own: bool
) -> None:
    """Whatever else is true of them."""
    refusal = refuse_account(Facts(**flags), Options(erase=erase), own=own)  # type: ignore[arg-type] # all are booleans
    if flags["admin"] or flags["appservice"]:
        assert refusal in (Refusal.SERVER_ADMIN, Refusal.APPSERVICE)


@given(flags=FLAGS, erase=st.booleans())
def test_what_is_refused_to_a_moderator_is_refused_to_the_person_too(flags: dict[str, bool], erase: bool) -> None:
    """The self-service only ever adds refusals."""
    facts = Facts(**flags)  # type: ignore[arg-type] # all are booleans
    if refuse_account(facts, Options(erase=erase)) is not None:
        assert refuse_account(facts, Options(erase=erase), own=True) is not None
