"""A session that a crash left is ended, although nobody knows whose it is; and `!status` gives a link where either
proof counts."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from sandbox.client import Person
from tests.support.admin_room import read_only
from tests.support.browser import found_link, page_settings
from tests.support.direct_room import MakeScene, Talk, states
from tests.support.page_client import PageClient
from tests.synapse.conftest import settled
from tests.synapse.web.test_whole_way import devices


async def test_the_owner_is_looked_for(scene: MakeScene) -> None:
    """Single sign-on says whose it is only in its answer, and a crash may come before that. The person's other session
    stays; an intent of which nothing came is forgotten."""
    stage = await scene(self_service=page_settings())
    person = await stage.person("leaver")
    await stage.bot.stop()
    before = set(await devices(stage, person.user_id))
    second = Person(stage.homeserver.base_url, person.user_id)
    stage.people.append(second)
    await second.login(stage.passwords[person.user_id])
    (left,) = set(await devices(stage, person.user_id)) - before
    with closing(sqlite3.connect(stage.bot.database)) as database, database:
        database.executemany("INSERT INTO log_ins VALUES (?, NULL, 0)", [(left,), ("LETHEPROOFNEVER",)])
    await stage.bot.start()

    async def over() -> bool:
        gone = set(await devices(stage, person.user_id)) == before
        return gone and read_only(stage.bot.database, "SELECT * FROM log_ins") == []

    await settled(over)


async def test_status_gives_another_link_where_either_proof_counts(scene: MakeScene) -> None:
    """The first one may have been used up by then."""
    stage = await scene(self_service=page_settings(proof="either"))
    person = await stage.person("leaver")
    talk = await Talk.begin(stage, person)
    first = found_link(await talk.agreed())
    second = found_link(await talk.ask("!status", "Or log in instead"))
    assert first != second and states(stage) == ["awaiting_matrix_id"]
    client = PageClient(stage)
    assert (await client.get(second.partition(client.url)[2])).status == 200
