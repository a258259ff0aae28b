"""`make demo-wave`: two hundred spam accounts, one decision, on a throw-away homeserver.

It ends with 0 only if the homeserver itself says that every account of the list is deactivated, and nobody else.
"""

from __future__ import annotations

import asyncio
import sys
import time

from rich.console import Console

from sandbox.client import Person
from sandbox.demo import Transcript
from sandbox.homeserver import Homeserver
from sandbox.scene import Scene

ACCOUNTS = 200
SIDE_BY_SIDE = 8
console = Console(highlight=False)


async def _sign_up(stage: Scene, room: str) -> list[str]:
    """The wave: accounts that register, and every fifth of them joins the lounge."""
    waiting = iter(range(ACCOUNTS))
    made: list[str] = []

    async def work() -> None:
        for number in waiting:
            user_id = await stage.account("pills")
            made.append(user_id)
            if number % 5 == 0:
                path = f"/_matrix/client/v3/join/{room}"
                await stage.homeserver.call("POST", path, token=stage.tokens[user_id], json={})

    async with asyncio.TaskGroup() as group:
        for _ in range(SIDE_BY_SIDE):
            group.create_task(work())
    return made


async def play(stage: Scene) -> bool:
    """Plays it; returns whether the homeserver confirms it."""
    console.rule(f"Setting up: a bot, two moderators, a regular, and {ACCOUNTS} accounts that have just registered")
    # A moderator of an hour would make a long demo; the second one has to be there before the prompt all the same.
    await stage.set_up(start=False, bulk={"moderator_for": "1s"})
    second = await stage.add_moderator("second")
    regular = await stage.account("pills-lover")  # whom a careless glob would catch
    room = await stage.moderator.create_room(name="Lounge", preset="public_chat")
    spam = await _sign_up(stage, room)
    await stage.bot.start()
    await stage.bot_joined()
    console.rule("The conversation, as the moderator's client shows it")
    moderator = stage.moderator
    names = {stage.bot_id: "Lethe", moderator.user_id: "moderator", second.user_id: "second moderator"}
    printing = asyncio.create_task(Transcript(moderator, stage.room, names).follow())
    try:
        took = await _converse(stage, second, regular, spam)
    finally:
        printing.cancel()
    console.rule("What the homeserver itself says")
    gone = [bool((await stage.user(user_id))["deactivated"]) for user_id in spam]
    spared = not (await stage.user(regular))["deactivated"]
    console.print(f"{'✓' if all(gone) else '✗'} {sum(gone)} of {ACCOUNTS} accounts are deactivated")
    console.print(f"{'✓' if spared else '✗'} the regular whom the moderator took off the list is not")
    console.print(f"From the number to the last proof: {took:.1f} s.")
    return all(gone) and spared


async def _converse(stage: Scene, second: Person, regular: str, spam: list[str]) -> float:
    """A list, one account taken off it, a second moderator's ✅ and the number; returns the seconds that it took."""
    moderator = stage.moderator
    listed = "\n".join([*spam, regular])
    command = await moderator.say(stage.room, f"!deactivate --erase --reason pills\n```\n{listed}\n```")
    first = await moderator.reply_to(command, 60, containing="to go on")
    await moderator.say(stage.room, f"!exclude {first.body.split()[0]} {regular}")
    prompt = await moderator.reply_to(command, containing=f"{ACCOUNTS} accounts?")
    await second.react(stage.room, prompt.event_id, "✅")
    await second.reply_to(command, containing="Type the number")
    began = time.monotonic()
    await second.say(stage.room, str(ACCOUNTS))
    await moderator.reply_to(command, 300, containing="It took")
    took = time.monotonic() - began
    await asyncio.sleep(0.5)  # lets the transcript print the last edit
    return took


async def main() -> int:
    """Plays it once."""
    began = time.monotonic()
    async with Homeserver() as homeserver:
        stage = Scene(homeserver)
        try:
            good = await play(stage)
        except Exception:
            console.print(stage.bot.log if hasattr(stage, "bot") else "", style="dim", markup=False)
            raise
        finally:
            await stage.close()
    console.print(f"The whole scene: {time.monotonic() - began:.0f} s.")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
