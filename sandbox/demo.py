"""`make demo`: the main job on a throw-away homeserver, played by real clients against the real bot.

It ends with 0 only if the homeserver itself says that the account is deactivated, erased and in no room, and that
somebody who joins later can't read its messages. `KEEP=1` leaves everything running for a look with any client.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from rich.console import Console
from rich.panel import Panel

from sandbox.client import Person
from sandbox.homeserver import Homeserver
from sandbox.scene import Scene
from sandbox.timeline import Seen

console = Console(highlight=False)


class Transcript:
    """Prints what a person sees in a room, as it comes."""

    def __init__(self, person: Person, room: str, names: dict[str, str]) -> None:
        self._person = person
        self._room = room
        self._names = names
        self._printed = 0

    async def follow(self) -> None:
        """Prints until cancelled."""
        while True:
            await self._person.until(
                lambda: len(self._person.timeline.events) > self._printed, timeout=3600, what="another event"
            )
            for event in self._person.timeline.events[self._printed :]:
                self._printed += 1
                if event.room_id == self._room:
                    self._show(event)

    def _show(self, event: Seen) -> None:
        who = self._names.get(event.sender, event.sender)
        if event.type == "m.reaction":
            console.print(f"[bold]{who}[/] reacts {event.content['m.relates_to']['key']}")
        elif event.type == "m.room.message":
            edit = event.content.get("m.new_content")
            body = (edit or event.content)["body"]
            lock = "🔒" if event.encrypted else "  "
            title = f"{lock} {who}{' edits its message' if edit else ''}"
            console.print(Panel(body, title=title, title_align="left", border_style="cyan" if edit else "white"))


async def play(stage: Scene, keep: bool) -> bool:
    """Plays the main job; returns whether the homeserver confirms it."""
    console.rule("Setting up: a bot, a moderator, a spammer, an encrypted admin room")
    await stage.set_up(encrypted=True, start=False, stay=keep)
    bot_start = time.monotonic()
    await stage.bot.start()
    await stage.bot_joined()
    console.print(
        f"The bot runs as a process of its own; it was in the admin room after {time.monotonic() - bot_start:.1f} s."
    )
    moderator = stage.moderator
    spammer, reader = await stage.person("spammer"), await stage.person("reader")
    rooms = []
    for name in ("Lounge", "Help"):
        room = await moderator.create_room(name=name, preset="public_chat")
        rooms.append(room)
        for person in (spammer, reader):
            await person.join(room)
    spam = [await spammer.say(room, "Buy my pills!") for room in rooms]
    await spammer.call(
        "PUT", "/_matrix/client/v3/profile/{}/displayname", spammer.user_id, json={"displayname": "Dr. Pill"}
    )

    console.rule("The conversation, as the moderator's client shows it")
    names = {stage.bot_id: "Lethe", moderator.user_id: "moderator"}
    printing = asyncio.create_task(Transcript(moderator, stage.room, names).follow())
    try:
        asked = time.monotonic()
        command = await moderator.say(stage.room, f"!deactivate {spammer.user_id} --erase --reason spam wave")
        prompt = await moderator.reply_to(command, containing="to go on")
        prompted = time.monotonic()
        await moderator.reacted(prompt.event_id, "✅", by=stage.bot_id)
        pressed = time.monotonic()
        await moderator.react(stage.room, prompt.event_id, "✅")
        await moderator.reply_to(command, containing="Read back from the homeserver")
        done = time.monotonic()
        await moderator.edited(prompt.event_id, "done")
        await asyncio.sleep(0.2)  # lets the transcript print the last edit
    finally:
        printing.cancel()
    console.rule("What the homeserver itself says")
    return await verify(stage, spammer, rooms, spam, prompted - asked, done - pressed)


async def verify(
    stage: Scene, spammer: Person, rooms: list[str], spam: list[str], to_prompt: float, to_done: float
) -> bool:
    """Asks the homeserver, not the bot."""
    account = await stage.user(spammer.user_id)
    joined = await stage.admin("GET", f"v1/users/{spammer.user_id}/joined_rooms")
    newcomer = await stage.person("newcomer")
    seen = []
    for room, event_id in zip(rooms, spam, strict=True):
        await newcomer.join(room)
        seen.append(await newcomer.call("GET", "/_matrix/client/v3/rooms/{}/event/{}", room, event_id))
    checks = {
        "the account is deactivated": account["deactivated"] is True,
        "it is erased": account["erased"] is True,
        "it has no display name": account["displayname"] is None,
        "it is in no room": joined["total"] == 0,
        "somebody who joins later can't read its messages": all(event["content"] == {} for event in seen),
    }
    for what, holds in checks.items():
        console.print(f"{'✓' if holds else '✗'} {what}", style="green" if holds else "bold red")
    console.print(f"From command to prompt: {to_prompt:.2f} s. From ✅ to done and read back: {to_done:.2f} s.")
    return all(checks.values())


def show_access(stage: Scene) -> None:
    """What is needed to look around with any client, and to end it all."""
    lines = [
        f"Homeserver:  {stage.homeserver.base_url}",
        f"Admin room:  {stage.room}",
        f"Bot's log:   {stage.bot.log_file}",
        f"To end both: kill {stage.bot.pid} {stage.homeserver.pid}",
        "",
        *(f"{user_id}  password: {password}" for user_id, password in stage.passwords.items()),
    ]
    console.print(Panel("\n".join(lines), title="Left running", title_align="left"))


async def main() -> int:
    """Plays it once."""
    keep = os.environ.get("KEEP", "") not in ("", "0")
    began = time.monotonic()
    homeserver = Homeserver(stay=keep)
    stage = Scene(homeserver)
    good = False
    try:
        await homeserver.start()
        console.print(f"A throw-away Synapse answers at {homeserver.base_url} after {time.monotonic() - began:.1f} s.")
        good = await play(stage, keep)
    except Exception:
        console.print(stage.bot.log if hasattr(stage, "bot") else "", style="dim", markup=False)
        raise
    finally:
        if good and keep:
            show_access(stage)
            await stage.close_clients()
        else:
            await stage.close()
            await homeserver.close()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
