"""What Synapse's admin API answers, checked field by field: what is missing or of another type is never guessed.

What else an answer holds is passed over, since Synapse adds fields between versions.
Sources: Synapse admin API (user_admin_api, rooms, media_admin_api, scheduled_tasks); the paths stand with the methods
of homeserver.accounts.synapse.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from homeserver.client.api import BadAnswer

REDACTION = "redact_all_events"
"""The scheduled task that redacts; its resource is the account."""
JOIN_STATES = "update_join_states"
"""The scheduled task that writes a changed profile into rooms; its resource is the account. While one is under way, a
deactivated account can be joined again."""


class Answer(BaseModel):
    """An answer, or a part of one: frozen, and strict, so that neither `"true"` nor 1 is a boolean."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


AnswerT = TypeVar("AnswerT", bound=Answer)


def read(model: type[AnswerT], what: str, answer: Mapping[str, Any]) -> AnswerT:
    """Checks an answer against its model.

    Args:
        model: the shape expected.
        what: names the question in the error.
        answer: the JSON object that came.

    Raises:
        BadAnswer: it has another shape. Names fields and kinds of mistakes, never values: they could be anything.
    """
    try:
        return model.model_validate(answer)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in each['loc'][:2])}: {each['type']}"
            for each in error.errors(include_url=False, include_context=False, include_input=False)[:3]
        )
        raise BadAnswer(f"{what}: the answer has another shape than expected ({wrong[:200]})") from None


def _counted(answer: AnswerT, total: int, length: int) -> AnswerT:
    """Refuses a list that came cut short: an empty part of it would read as "nothing left"."""
    if total != length:
        raise PydanticCustomError("not_whole", "the list isn't whole")
    return answer


class User(Answer):
    """A local account. Third-party ids by kind only: their addresses never leave through here."""

    user_id: str
    displayname: str | None
    avatar_url: str | None
    admin: bool
    deactivated: bool
    half_deactivated: bool = False
    """Deactivated in the service that keeps log-ins or in the homeserver, and not in the other (yet)."""
    erased: bool
    suspended: bool
    locked: bool
    half_locked: bool = False
    """Locked in one of the two, and not in the other (yet)."""
    shadow_banned: bool
    is_guest: bool
    appservice_id: str | None
    user_type: str | None
    creation_ts: int
    """Milliseconds since 1970 (the homeserver knows whole seconds)."""
    last_seen_ts: int | None
    """Milliseconds since 1970; None if never, or no longer known."""
    threepid_media: tuple[str, ...]
    """One entry for each third-party id: `email`, `msisdn`."""
    external_ids: tuple[str, ...]
    """One entry for each single sign-on link: the provider's name."""


class Threepid(Answer):
    """An e-mail address or phone number of an account. Personal: for the account's owner only."""

    medium: str
    address: str = Field(repr=False)


class ExternalID(Answer):
    """A single sign-on link. Personal: for the account's owner only."""

    auth_provider: str
    external_id: str = Field(repr=False)


class UserAnswer(Answer):
    """`GET v2/users/{user_id}` as it comes."""

    name: str
    displayname: str | None
    avatar_url: str | None
    admin: bool
    deactivated: bool
    erased: bool
    suspended: bool
    locked: bool
    shadow_banned: bool
    is_guest: bool
    appservice_id: str | None
    user_type: str | None
    creation_ts: int
    last_seen_ts: int | None
    threepids: list[Threepid]
    external_ids: list[ExternalID]

    def user(self) -> User:
        """The account without personal values."""
        shared = self.model_dump(exclude={"name", "creation_ts", "threepids", "external_ids"})
        return User(
            **shared,
            user_id=self.name,
            creation_ts=self.creation_ts * 1000,
            threepid_media=tuple(each.medium for each in self.threepids),
            external_ids=tuple(each.auth_provider for each in self.external_ids),
        )


class RoomDetails(Answer):
    """A room, as far as the homeserver's statistics know it. The numbers may be some seconds old."""

    room_id: str
    name: str | None
    canonical_alias: str | None
    version: str | None
    room_type: str | None = None
    joined_members: int
    joined_local_members: int
    tombstoned: bool = False


class RoomVersions(Answer):
    """The part of the capabilities that is needed here."""

    available: dict[str, str]


class Capabilities(Answer):
    """`GET /_matrix/client/v3/capabilities`."""

    capabilities: dict[str, Any]

    @property
    def room_versions(self) -> frozenset[str]:
        """The room versions that the homeserver knows."""
        return frozenset(
            read(RoomVersions, "the room versions", self.capabilities.get("m.room_versions") or {}).available
        )


class Media(Answer):
    """One file that an account uploaded. Times in milliseconds since 1970."""

    media_id: str
    media_type: str | None = None
    media_length: int | None = None
    upload_name: str | None = None
    created_ts: int
    last_access_ts: int | None = None
    quarantined_by: str | None = None
    safe_from_quarantine: bool = False


class TaskState(StrEnum):
    """Where a task stands that Synapse does in the background."""

    SCHEDULED = "scheduled"
    ACTIVE = "active"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """Whether nothing more will happen. Over isn't success."""
        return self not in (TaskState.SCHEDULED, TaskState.ACTIVE)


class ScheduledTask(Answer):
    """A task that Synapse does in the background; kept for seven days after its end."""

    id: str
    action: str
    status: TaskState = Field(
        strict=False
    )  # JSON has no enumerations: the text is looked up, an unknown one is refused
    timestamp_ms: int
    """When its status last changed, milliseconds since 1970."""
    resource_id: str | None
    result: dict[str, Any] | None
    error: str | None


class RedactStatus(Answer):
    """How far a redaction is. `complete` isn't success: every entry in `failed_redactions` can still be read."""

    status: TaskState = Field(strict=False)
    failed_redactions: dict[str, str] | None = None
    """Event id → why it couldn't be redacted. None as long as the homeserver doesn't say: before it is complete."""
    error: str | None = None

    @model_validator(mode="after")
    def _complete_with_failures(self) -> Self:
        if self.status is TaskState.COMPLETE and self.failed_redactions is None:
            raise PydanticCustomError("failures_missing", "complete, but without a word on failures")
        return self

    @property
    def succeeded(self) -> bool:
        """Whether it is complete and left nothing out."""
        return self.status is TaskState.COMPLETE and not self.failed_redactions


class JoinedRooms(Answer):
    """`GET v1/users/{user_id}/joined_rooms`."""

    joined_rooms: list[str]
    total: int

    @model_validator(mode="after")
    def _whole(self) -> Self:
        return _counted(self, self.total, len(self.joined_rooms))


class RoomMembers(Answer):
    """`GET v1/rooms/{room_id}/members`: joined members, local and remote."""

    members: list[str]
    total: int

    @model_validator(mode="after")
    def _whole(self) -> Self:
        return _counted(self, self.total, len(self.members))


class DirectoryEntry(Answer):
    """One account that the user directory shows."""

    user_id: str


class Directory(Answer):
    """`POST /_matrix/client/v3/user_directory/search`."""

    results: list[DirectoryEntry]


class Memberships(Answer):
    """`GET v1/users/{user_id}/memberships`."""

    memberships: dict[str, str]


class StateEvents(Answer):
    """`GET v1/rooms/{room_id}/state`."""

    state: list[dict[str, Any]]


class Device(Answer):
    """The part of a device that is needed here."""

    device_id: str


class Devices(Answer):
    """`GET v2/users/{user_id}/devices`."""

    devices: list[Device]
    total: int

    @model_validator(mode="after")
    def _whole(self) -> Self:
        return _counted(self, self.total, len(self.devices))


class FoundUser(Answer):
    """One line of `GET v3/users`."""

    name: str


class FoundUsers(Answer):
    """`GET v3/users`."""

    users: list[FoundUser]


class AccountData(Answer):
    """`GET v1/users/{user_id}/accountdata`."""

    everywhere: dict[str, Any] = Field(alias="global")
    rooms: dict[str, dict[str, Any]]

    @property
    def count(self) -> int:
        """How many entries there are, over all rooms."""
        return len(self.everywhere) + sum(len(each) for each in self.rooms.values())


class AccountDataAnswer(Answer):
    """The envelope around `AccountData`."""

    account_data: AccountData


class MediaPage(Answer):
    """`GET v1/users/{user_id}/media`."""

    media: list[Media]
    total: int
    next_token: int | None = None


class Deleted(Answer):
    """`DELETE v1/users/{user_id}/media`."""

    deleted_media: list[str]
    total: int


class Total(Answer):
    """The total of a list whose entries aren't needed."""

    total: int


class Tasks(Answer):
    """`GET v1/scheduled_tasks`."""

    scheduled_tasks: list[ScheduledTask]


class RatelimitOverride(Answer):
    """`v1/users/{user_id}/override_ratelimit`; 0 and 0 is "no limit"."""

    messages_per_second: int
    burst_count: int
