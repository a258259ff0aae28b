"""What is kept for the page: links and visits that work once, by hash only, and log-ins until their device is gone."""

from __future__ import annotations

from storage import links, log_ins, visits
from storage.database import Database
from storage.links import Link, hashed
from storage.visits import Visit

NOW = 1_700_000_000_000
LEAVER = "@leaver:example.org"


async def test_a_link_works_once_and_until_its_end(database: Database) -> None:
    """Looking at it doesn't use it; using it does; a day later it never was."""
    link = Link(7, LEAVER)
    async with database.transaction() as tx:
        await links.add(tx, "secret", link, NOW)
        await links.add(tx, "second", link, NOW)
        assert await links.look(tx, "secret", NOW) is None
        assert await links.look(tx, "secret", NOW - 1) == link == await links.look(tx, "secret", NOW - 1)
        assert await links.use(tx, "secret", NOW - 1) == link
        assert await links.use(tx, "secret", NOW - 1) is None
        assert await links.use(tx, "other", NOW - 1) is None
        await links.prune(tx, NOW)
        assert await links.look(tx, "second", NOW - 1) is None


async def test_a_visit_is_found_by_its_cookie_until_its_end(database: Database) -> None:
    """And is what was stored last."""
    visit = Visit(NOW, 7, LEAVER, "state", "verifier", "DEVICE", LEAVER)
    async with database.transaction() as tx:
        await visits.save(tx, "cookie", Visit(NOW))
        await visits.save(tx, "cookie", visit)
        assert await visits.get(tx, "cookie", NOW - 1) == visit
        assert await visits.get(tx, "cookie", NOW) is None
        assert await visits.get(tx, "other", NOW - 1) is None
        await visits.end(tx, "cookie")
        assert await visits.get(tx, "cookie", NOW - 1) is None


async def test_a_state_comes_back_once_to_its_own_browser(database: Database) -> None:
    """Another's, an empty one, and the same again find nothing."""
    visit = Visit(NOW, state=hashed("state"), verifier="verifier", device_id="DEVICE")
    async with database.transaction() as tx:
        await visits.save(tx, "cookie", visit)
        await visits.save(tx, "other cookie", Visit(NOW))
        for cookie, state in (("other cookie", "state"), ("cookie", "other"), ("cookie", ""), ("other cookie", "")):
            assert await visits.take_state(tx, cookie, state, NOW - 1) is None
        assert await visits.take_state(tx, "cookie", "state", NOW - 1) == visit
        assert await visits.take_state(tx, "cookie", "state", NOW - 1) is None
        assert await visits.get(tx, "cookie", NOW - 1) == Visit(NOW)


async def test_no_secret_is_stored(database: Database) -> None:
    """Whoever reads the database can use no link and no cookie."""
    async with database.transaction() as tx:
        await links.add(tx, "the link", Link(7, LEAVER), NOW)
        await visits.save(tx, "the cookie", Visit(NOW, state=hashed("the state")))
        rows = [*await tx.all("SELECT * FROM links"), *await tx.all("SELECT * FROM visits")]
        assert len(rows) == 2
        assert not any("the " in str(value) for row in rows for value in row)


async def test_a_log_in_is_known_until_its_device_was_seen_gone(database: Database) -> None:
    """With its owner as soon as that is known; those of nobody are forgotten in time."""
    async with database.transaction() as tx:
        await log_ins.begun(tx, "A", None, NOW)
        await log_ins.begun(tx, "B", None, NOW)
        await log_ins.begun(tx, "B", LEAVER, NOW + 5)
        assert await log_ins.left(tx, NOW) == []
        assert await log_ins.left(tx, NOW + 1) == [(LEAVER, "B"), (None, "A")]
        await log_ins.prune(tx, NOW + 1)
        assert [row["device_id"] for row in await tx.all("SELECT device_id FROM log_ins")] == ["B"]
        await log_ins.gone(tx, "B")
        assert await log_ins.left(tx, NOW + 1) == []
