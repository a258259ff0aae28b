"""What was begun is ended when the bot is told to stop, and nothing is begun any more; both within a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from engine.unbroken import Unbroken, finish
from storage.database import StorageError


class Work:
    """Some pieces of work, each of which ends when it may."""

    def __init__(self) -> None:
        self.unbroken = Unbroken()
        self.may_end = asyncio.Event()
        self.did: list[str] = []

    async def piece(self, name: str) -> None:
        async with self.unbroken.piece():
            self.did.append(f"{name} began")
            await self.may_end.wait()
            self.did.append(f"{name} ended")

    async def emptied(self) -> None:
        self.did.append("emptied")


async def turns() -> None:
    """Lets everybody else go on for a while."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_was_begun_is_waited_for_and_nothing_is_begun() -> None:
    """Two pieces under way, a third that comes too late: messages are sent after the two, and the third isn't done."""
    work = Work()
    pieces = [asyncio.create_task(work.piece(name)) for name in ("one", "two")]
    await turns()
    finishing = asyncio.create_task(finish(work.unbroken, work.emptied, 5))
    await turns()
    late = asyncio.create_task(work.piece("late"))
    await turns()
    assert not finishing.done() and work.unbroken.closing
    work.may_end.set()
    await finishing
    assert work.did == ["one began", "two began", "one ended", "two ended", "emptied"]
    await asyncio.gather(*pieces)
    assert not late.done()
    late.cancel()


@pytest.mark.parametrize("fails", [True, False])
async def test_a_piece_that_fails_or_is_cancelled_is_ended(fails: bool) -> None:
    """It isn't waited for any longer."""
    work = Work()
    task = asyncio.create_task(work.piece("one"))
    await turns()
    if fails:

        async def failing() -> None:
            async with work.unbroken.piece():
                raise ValueError

        with pytest.raises(ValueError):
            await failing()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await finish(work.unbroken, work.emptied, 5)
    assert work.did == ["one began", "emptied"]


def never(work: Work) -> Callable[[], asyncio.Task[None]]:
    """Messages that can't be sent."""
    return lambda: asyncio.create_task(asyncio.Event().wait())  # type: ignore[arg-type] # its answer is never had


@pytest.mark.parametrize("what", ["a piece", "the messages"])
async def test_it_takes_no_longer_than_it_may(what: str, caplog: pytest.LogCaptureFixture) -> None:
    """A piece that never ends, and messages that are never sent: said, and given up."""
    work = Work()
    task = asyncio.create_task(work.piece("one"))
    await turns()
    if what == "the messages":
        work.may_end.set()
    await finish(work.unbroken, work.emptied if what == "a piece" else never(work), 0.05)
    assert "It goes on at the next start" in caplog.text
    task.cancel()


async def test_a_database_that_cannot_be_read_ends_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    """The bot stops all the same, in order."""

    async def broken() -> None:
        raise StorageError("disk I/O error")

    await finish(Unbroken(), broken, 5)
    assert "disk I/O error" in caplog.text
