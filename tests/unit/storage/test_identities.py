"""Moderators' identities as they are kept: the accepted one and the one seen last."""

from __future__ import annotations

from storage import identities
from storage.database import Database
from storage.identities import Known

USER = "@moderator:example.org"


async def test_an_identity_is_kept_until_another_is_accepted(database: Database) -> None:
    """Only an identity that was seen and differs can be accepted, and only once."""
    async with database.transaction() as tx:
        assert await identities.known(tx, USER) is None
        assert not await identities.accept(tx, USER)
        await identities.save(tx, USER, Known("one", "one"))
        assert not await identities.accept(tx, USER)
        await identities.save(tx, USER, Known("one", "two"))
        assert await identities.known(tx, USER) == Known("one", "two")
        assert await identities.known(tx, USER.upper()) is None
        assert await identities.accept(tx, USER)
        assert not await identities.accept(tx, USER)
        assert await identities.known(tx, USER) == Known("two", "two")
