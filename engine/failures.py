"""How a step fails, and which kind of failure each homeserver error is."""

from __future__ import annotations

from typing import Any

from homeserver.accounts.errors import MovedElsewhere, identity_server_failed
from homeserver.client.api import BadToken, Forbidden, HomeserverError, NotFound, RateLimited, Refused, ServerFault
from homeserver.client.backoff import GATEWAY
from removal.plan import Step
from removal.request import Failure, Request

TRIES_AT_IDENTITY_SERVER = 3


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
