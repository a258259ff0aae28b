"""The plan: which steps, in which order, and what each removal promises."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from removal.plan import SPECS, STEPS, Aim, Kind, Media, Options, Proof, Step, proofs_for, steps_for

OPTIONS = st.builds(
    Options,
    erase=st.booleans(),
    redact=st.booleans(),
    media=st.sampled_from(Media),
    forget_sso=st.booleans(),
    handover=st.sampled_from([(), (("*", "@successor:example.org"),)]),
)
ALWAYS = {
    Step.SNAPSHOT, Step.SUSPEND, Step.THREEPIDS, Step.DEACTIVATE, Step.WAIT, Step.RELEASE, Step.VERIFY,
}  # fmt: skip


def test_each_step_is_declared_once_and_in_its_order() -> None:
    """The enumeration and the declarations are the same list."""
    assert [spec.step for spec in STEPS] == list(Step)
    assert set(SPECS) == set(Step)
    assert [spec.step for spec in STEPS if spec.final] == [Step.DEACTIVATE]
    assert all(spec.chosen_by for spec in STEPS)


@pytest.mark.parametrize(
    ("options", "added"),
    [
        (Options(), set()),
        (Options(erase=True), set()),
        (Options(redact=True), {Step.REDACT}),
        (Options(media=Media.DELETE), {Step.MEDIA}),
        (Options(media=Media.QUARANTINE), {Step.MEDIA}),
        (Options(forget_sso=True), {Step.SSO}),
        (Options(handover=(("*", "@successor:example.org"),)), {Step.HANDOVER}),
    ],
)
@pytest.mark.parametrize("kind", Kind)
def test_options_choose_steps(kind: Kind, options: Options, added: set[Step]) -> None:
    """Each option adds its own step, to both kinds of removal, and no other."""
    assert set(steps_for(kind, options)) == ALWAYS | added


@given(kind=st.sampled_from(Kind), options=OPTIONS)
def test_the_order_that_the_homeserver_needs(kind: Kind, options: Options) -> None:
    """Whatever is chosen: look first, hand over while it can still speak, redact while it is in its rooms, deactivate,
    wait, clear the mark, and read back last."""
    steps = steps_for(kind, options)
    at = {step: place for place, step in enumerate(steps)}
    assert len(at) == len(steps)
    assert (steps[0], steps[-2:]) == (Step.SNAPSHOT, (Step.RELEASE, Step.VERIFY))
    assert at[Step.SUSPEND] < at[Step.THREEPIDS] < at[Step.DEACTIVATE] < at[Step.WAIT]
    if Step.HANDOVER in at:
        assert at[Step.HANDOVER] < at[Step.SUSPEND]
    if Step.REDACT in at:
        assert at[Step.REDACT] < at[Step.DEACTIVATE]
    for late in (Step.MEDIA, Step.SSO):
        assert at.get(late, at[Step.WAIT] + 1) > at[Step.WAIT]


@given(options=OPTIONS)
def test_a_persons_own_account_works_until_the_last_moment(options: Options) -> None:
    """Suspending and taking off third-party ids stand right before the deactivation."""
    steps = steps_for(Kind.OWN, options)
    at = steps.index(Step.DEACTIVATE)
    assert steps[at - 2 : at] == (Step.SUSPEND, Step.THREEPIDS)
    assert set(steps) == set(steps_for(Kind.MODERATION, options))


@pytest.mark.parametrize(
    ("options", "added"),
    [
        (Options(erase=True), {Proof.ERASED, Proof.NO_DISPLAYNAME, Proof.NO_PROFILE}),
        (Options(redact=True), {Proof.REDACTED}),
        (Options(media=Media.DELETE), {Proof.NO_MEDIA}),
        (Options(media=Media.QUARANTINE), {Proof.MEDIA_QUARANTINED}),
        (Options(forget_sso=True), {Proof.NO_SSO}),
    ],
)
def test_each_option_promises_its_own_proofs(options: Options, added: set[Proof]) -> None:
    """What is asked for is read back, and what wasn't asked for isn't promised."""
    always = set(proofs_for(Options()))
    assert set(proofs_for(options)) == always | added
    assert not always & added
    assert {Proof.DEACTIVATED, Proof.NO_DEVICES, Proof.NO_ROOMS, Proof.NOT_SUSPENDED} <= always


@pytest.mark.parametrize(
    ("options", "steps", "proofs"),
    [
        (Options(aim=Aim.REDACT, redact=True), {Step.REDACT}, {Proof.REDACTED}),
        (Options(aim=Aim.MEDIA, media=Media.DELETE), {Step.MEDIA}, {Proof.NO_MEDIA}),
        (Options(aim=Aim.MEDIA, media=Media.QUARANTINE), {Step.MEDIA}, {Proof.MEDIA_QUARANTINED}),
        (Options(aim=Aim.REACTIVATE), {Step.REACTIVATE}, {Proof.ACTIVE}),
    ],
)
def test_a_rung_does_one_thing_and_promises_that(options: Options, steps: set[Step], proofs: set[Proof]) -> None:
    """It looks first and reads back last; nothing else of a removal comes with it."""
    assert set(steps_for(Kind.MODERATION, options)) == {Step.SNAPSHOT, Step.VERIFY} | steps
    assert set(proofs_for(options)) == proofs


def test_what_older_versions_stored_is_a_removal() -> None:
    """Options from before there were rungs, and those of today, are read as they were meant."""
    old = {"erase": True, "redact": False, "media": "keep", "forget_sso": False, "handover": [["*", "@a:b.c"]]}
    assert Options.from_dict(old) == Options(erase=True, handover=(("*", "@a:b.c"),))
    new = Options(aim=Aim.REDACT, redact=True, rooms=("!a:b.c",), since_ts=7)
    assert Options.from_dict(asdict(new)) == new


def test_every_proof_is_promised_by_some_plan() -> None:
    """A proof that nothing promises would never be read."""
    plans = [Options(True, True, media, True, clear_marks=True) for media in Media]
    plans += [Options(aim=aim) for aim in Aim]
    assert {proof for plan in plans for proof in proofs_for(plan)} == set(Proof)


def test_a_wave_doesnt_search_the_directory() -> None:
    """All else that a removal promises, an account of a wave promises too."""
    alone, in_wave = proofs_for(Options(erase=True)), proofs_for(Options(erase=True), in_wave=True)
    assert set(alone) - set(in_wave) == {Proof.NOT_IN_DIRECTORY}
