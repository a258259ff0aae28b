"""How a step fails, and which kind of failure each homeserver error is."""

from __future__ import annotations

import contextlib
import random
from typing import Any, Protocol

from homeserver.accounts.errors import MovedElsewhere, identity_server_failed
from homeserver.client.api import BadToken, Forbidden, HomeserverError, NotFound, RateLimited, Refused, ServerFault
from homeserver.client.backoff import GATEWAY
from removal.lifecycle import StepFailed
from removal.plan import SPECS, Step
from removal.request import Failure, Request

TRIES_AT_IDENTITY_SERVER = 3


class Steps(Protocol):
    """What is needed of the steps."""

    async def is_undone(self, request: Request) -> bool:
        """Whether the homeserver shows that the account isn't deactivated. Raises: HomeserverError."""

    async def answers(self, request: Request) -> bool:
        """Whether the homeserver answers other questions about this account."""


class Problem(Exception):
    """A step didn't succeed.

    Args:
        failure: what follows from it.
        cause: one plain sentence, fit for people and the log.
        remedy: key of the text (`texts/`, group `remedy`) that tells a person what to do.
        retry_after: seconds that the homeserver asks to wait.
        answer: what to remember of the attempt.
    """

    def __init__(
        self,
        failure: Failure,
        cause: str,
        remedy: str = "",
        retry_after: float | None = None,
        answer: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(cause)
        self.failure = failure
        self.cause = cause
        self.remedy = remedy
        self.retry_after = retry_after
        self.answer = answer or {}


def classify(error: HomeserverError, request: Request, step: Step) -> Problem:
    """What kind of failure an error of the homeserver is, at this step of this request."""
    cause = str(error)
    record = request.record(step)
    attempts = record.attempts if record else 0
    if isinstance(error, RateLimited):
        return Problem(Failure.PASSING, cause, retry_after=error.retry_after)
    if isinstance(error, BadToken):
        return Problem(Failure.PASSING, cause)
    if isinstance(error, MovedElsewhere):
        return Problem(Failure.NEEDS_PERSON, cause, "moved")
    if isinstance(error, Forbidden):
        return Problem(Failure.NEEDS_PERSON, cause, "forbidden")
    if isinstance(error, NotFound) and error.errcode != "M_UNRECOGNIZED":  # that names a missing path, not an account
        return Problem(Failure.IMPOSSIBLE, cause, "gone")
    if isinstance(error, Refused):
        return Problem(Failure.NEEDS_PERSON, cause, "identity_server" if identity_server_failed(error) else "refused")
    if identity_server_failed(error) and attempts >= TRIES_AT_IDENTITY_SERVER:
        return Problem(Failure.NEEDS_PERSON, cause, "identity_server")
    if isinstance(error, ServerFault) and error.status not in GATEWAY:
        return Problem(Failure.NOT_YET, cause, "broken")  # it is there, and this very question breaks it
    return Problem(Failure.PASSING, cause)


async def step_failed(steps: Steps, step: Step, request: Request, problem: Problem) -> StepFailed:
    """The event that follows from a problem at a step."""
    undone = False
    if problem.failure is Failure.NOT_YET and not await steps.answers(request):
        problem.failure = Failure.PASSING
    if problem.failure is not Failure.PASSING and SPECS[step].final:
        with contextlib.suppress(HomeserverError):
            undone = await steps.is_undone(request)
    return StepFailed(
        step,
        problem.failure,
        problem.cause,
        retry_after_ms=None if problem.retry_after is None else int(problem.retry_after * 1000),
        answer={**problem.answer, **({"remedy": problem.remedy} if problem.remedy else {})},
        jitter=random.uniform(0.8, 1.2),  # noqa: S311 - jitter
        undone=undone,
    )
