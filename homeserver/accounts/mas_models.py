"""What MAS's admin API answers, checked field by field like `homeserver.accounts.models`.

Source: the OpenAPI description that MAS publishes of its admin API (`/api/spec.json`), version 1.22.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from homeserver.accounts.models import Answer

_DEVICE_SCOPES = ("urn:matrix:client:device:", "urn:matrix:org.matrix.msc2967.client:device:")


class MasUser(Answer):
    """An account as MAS keeps it. A time that isn't there is "never", as the description says."""

    username: str
    created_at: str
    locked_at: str | None = None
    deactivated_at: str | None = None
    admin: bool
    """Whether it can ask for the rights of a server admin (`can_request_admin`)."""
    legacy_guest: bool

    @property
    def created_ts(self) -> int:
        """Milliseconds since 1970."""
        return int(datetime.fromisoformat(self.created_at).timestamp() * 1000)


class MasEmail(Answer):
    """An e-mail address. Personal: for the account's owner only."""

    user_id: str
    email: str = Field(repr=False)


class MasLink(Answer):
    """A link to an account at a provider of single sign-on. The subject is personal."""

    user_id: str | None = None
    provider_id: str
    subject: str = Field(repr=False)


class MasProvider(Answer):
    """A provider of single sign-on."""

    issuer: str | None = None
    human_name: str | None = None
    brand_name: str | None = None


class MasSession(Answer):
    """What the four kinds of sessions have in common. Addresses and programs are for `!info --sessions` only."""

    user_id: str | None = None
    """The account; a personal session has `owner_user_id` and `actor_user_id` instead."""
    owner_user_id: str | None = None
    actor_user_id: str | None = None
    created_at: str
    finished_at: str | None = None
    revoked_at: str | None = None
    device_id: str | None = None
    """Of Matrix's old API; OAuth 2.0 has it in the scope."""
    scope: str | None = None
    human_name: str | None = None
    user_agent: str | None = Field(None, repr=False)
    last_active_at: str | None = None
    last_active_ip: str | None = Field(None, repr=False)

    @property
    def active(self) -> bool:
        """Whether it was neither finished nor revoked."""
        return self.finished_at is None and self.revoked_at is None

    @property
    def devices(self) -> frozenset[str]:
        """The ids of the devices that it logs in: its own, or those that its scope names (MSC2967)."""
        named = {
            word.removeprefix(prefix)
            for word in (self.scope or "").split()
            for prefix in _DEVICE_SCOPES
            if word.startswith(prefix)
        }
        return frozenset(named | ({self.device_id} if self.device_id else set()))

    def belongs_to(self, mas_id: str) -> bool:
        """Whether this account owns it, or is acted for by it."""
        return mas_id in (self.user_id, self.owner_user_id, self.actor_user_id)


class Links(Answer):
    """Where a list goes on."""

    next: str | None = None


class Resource(Answer):
    """One thing, in the envelope of JSON:API."""

    id: str
    type: str


class UserResource(Resource):
    """An account and its id in MAS."""

    attributes: MasUser


class UserAnswer(Answer):
    """An answer about one account."""

    data: UserResource


class UserPage(Answer):
    """A part of a list of accounts."""

    data: list[UserResource]
    links: Links


class EmailResource(Resource):
    """An e-mail address and its id."""

    attributes: MasEmail


class EmailPage(Answer):
    """A part of a list of e-mail addresses."""

    data: list[EmailResource]
    links: Links


class LinkResource(Resource):
    """A link and its id."""

    attributes: MasLink


class LinkPage(Answer):
    """A part of a list of links."""

    data: list[LinkResource]
    links: Links


class ProviderResource(Resource):
    """A provider and its id."""

    attributes: MasProvider


class ProviderAnswer(Answer):
    """An answer about one provider."""

    data: ProviderResource


class SessionResource(Resource):
    """A session and its id."""

    attributes: MasSession


class SessionPage(Answer):
    """A part of a list of sessions."""

    data: list[SessionResource]
    links: Links


class Description(Answer):
    """The part of `/api/spec.json` that is needed: which paths this MAS has."""

    paths: dict[str, object]


class SiteConfig(Answer):
    """What this MAS is for: `GET site-config`."""

    server_name: str


class Version(Answer):
    """`GET version`."""

    version: str


class TokenAnswer(Answer):
    """An access token, as RFC 6749, 5.1 has it."""

    access_token: str = Field(repr=False, min_length=1)
    token_type: str
    expires_in: int | None = None
    """Seconds."""
    scope: str | None = None
