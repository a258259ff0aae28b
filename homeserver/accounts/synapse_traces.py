"""What an account left behind, by Synapse's admin API: a part of `homeserver.accounts.synapse.Synapse`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from homeserver.accounts.models import Deleted, Media, MediaPage, RedactStatus, ScheduledTask, Tasks, read
from homeserver.accounts.synapse_looks import SLOW, USERS
from homeserver.client.api import Api, BadAnswer, NotFound, Params

_PAGE = 100


class Traces:
    """Messages, files, and the tasks that Synapse does in the background."""

    _api: Api

    async def scheduled_tasks(self, resource_id: str, action_name: str) -> list[ScheduledTask]:
        """The tasks of this kind for this resource, ended ones of the last seven days too: `GET v1/scheduled_tasks`.

        Args:
            resource_id: for REDACTION and JOIN_STATES the account's Matrix ID.
            action_name: REDACTION or JOIN_STATES.
        """
        params = {"resource_id": resource_id, "action_name": action_name}
        answer = await self._api.call("GET", "/_synapse/admin/v1/scheduled_tasks", params=params)
        tasks = read(Tasks, "the scheduled tasks", answer).scheduled_tasks
        if any(task.resource_id != resource_id or task.action != action_name for task in tasks):
            raise BadAnswer("the homeserver lists other scheduled tasks than those asked for")
        return tasks

    async def open_tasks(self, action_name: str) -> frozenset[str]:
        """What there are tasks of this kind for that haven't ended, for all accounts: `GET v1/scheduled_tasks`."""
        open_ones: Params = {"action_name": action_name, "job_status": ["scheduled", "active"]}
        answer = await self._api.call("GET", "/_synapse/admin/v1/scheduled_tasks", params=open_ones)
        tasks = read(Tasks, "the scheduled tasks", answer).scheduled_tasks
        if any(task.action != action_name or task.status.over for task in tasks):
            raise BadAnswer("the homeserver lists other scheduled tasks than those asked for")
        return frozenset(task.resource_id for task in tasks if task.resource_id is not None)

    async def redact(
        self,
        user_id: str,
        rooms: Sequence[str],
        reason: str | None = None,
        limit: int | None = None,
        since_ts: int | None = None,
    ) -> str:
        """Starts to redact messages, encrypted events and joins of this account: `POST v1/user/{user_id}/redact`.

        NOT safe to repeat blindly: look for a REDACTION in `scheduled_tasks` first. Done in the account's own name, so
        it fails in rooms below version 11 while the account is suspended.

        Args:
            user_id: the account.
            rooms: at least one; the homeserver would take "none" for "where the account is joined now".
            reason: shown to everybody in these rooms.
            limit: the newest so many events of each room; None is the homeserver's default of 1000.
            since_ts: only what was sent after this time, milliseconds since 1970.

        Returns:
            The id to ask `redact_status` with.

        Raises:
            ValueError: no rooms.
            Refused: see `errors.already_redacting`.
        """
        if not rooms:
            raise ValueError("a redaction needs rooms")
        body: dict[str, Any] = {"rooms": list(rooms)}
        if reason:
            body["reason"] = reason
        if limit is not None:
            body["limit"] = limit
        if since_ts is not None:
            body["after_ts"] = since_ts
        answer = await self._api.call("POST", "/_synapse/admin/v1/user/{}/redact", user_id, json=body, timeout=SLOW)
        redact_id = answer.get("redact_id")
        if not isinstance(redact_id, str) or not redact_id:
            raise BadAnswer("the homeserver's answer to a redaction has no id")
        return redact_id

    async def redact_status(self, redact_id: str) -> RedactStatus | None:
        """How far a redaction is; None once forgotten (after seven days): `GET v1/user/redact_status/{redact_id}`."""
        try:
            answer = await self._api.call("GET", "/_synapse/admin/v1/user/redact_status/{}", redact_id)
        except NotFound as error:
            if error.errcode != "M_NOT_FOUND":
                raise
            return None
        return read(RedactStatus, "the status of a redaction", answer)

    async def media_total(self, user_id: str) -> int:
        """How many files the account uploaded that are still here: `GET v1/users/{user_id}/media`.

        Raises:
            NotFound: no such account.
        """
        answer = await self._api.call("GET", USERS + "/media", user_id, params={"limit": 1}, timeout=SLOW)
        return read(MediaPage, "the list of media", answer).total

    async def media(self, user_id: str) -> list[Media]:
        """All files the account uploaded, oldest first: `GET v1/users/{user_id}/media`, all pages.

        Raises:
            NotFound: no such account.
        """
        found: dict[str, Media] = {}
        start: int | None = 0
        while start is not None:
            params: dict[str, str | int | bool] = {"from": start, "limit": _PAGE, "order_by": "created_ts", "dir": "f"}
            answer = await self._api.call("GET", USERS + "/media", user_id, params=params, timeout=SLOW)
            page = read(MediaPage, "the list of media", answer)
            found.update((each.media_id, each) for each in page.media)
            following = page.next_token
            start = following if page.media and following is not None and following > start else None
        return list(found.values())

    async def delete_media(self, user_id: str) -> int:
        """Deletes up to 100 of the account's files: `DELETE v1/users/{user_id}/media`. Repeat until it gives 0.

        Returns:
            How many this call deleted.

        Raises:
            NotFound: no such account.
        """
        answer = await self._api.call("DELETE", USERS + "/media", user_id, params={"limit": _PAGE}, timeout=SLOW)
        return read(Deleted, "the deletion of media", answer).total

    async def quarantine_media(self, user_id: str) -> int:
        """Makes the account's files inaccessible, but keeps them: `POST v1/user/{user_id}/media/quarantine`.

        Protected files and those in quarantine already are passed over. Says 0 for unknown accounts too.

        Returns:
            How many this call put into quarantine.
        """
        answer = await self._api.call("POST", "/_synapse/admin/v1/user/{}/media/quarantine", user_id, timeout=SLOW)
        number = answer.get("num_quarantined")
        if type(number) is not int:
            raise BadAnswer("the homeserver's answer to a quarantine has no number")
        return number
