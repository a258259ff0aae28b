"""`make pictures`: plays what people see on a throw-away homeserver, in a real browser, and writes docs/pictures/.

A moderator and people who leave sit at our small Matrix client in Chromium (sandbox/browser.py); the bot is the real
one, and all rooms are encrypted. Each picture is taken on a phone (390 × 844 px) and on a desk (1280 × 800 px).
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

from rich.console import Console

from sandbox import page_pictures
from sandbox.browser import Browser, Tab, why_no_browser
from sandbox.client import Person
from sandbox.homeserver import Homeserver
from sandbox.page_pictures import FOLDER, SIZES
from sandbox.scene import Scene
from sandbox.timeline import Message

PICTURES = (
    "prompt",
    "outcome",
    "outcome-unfolded",
    "wave-prompt",
    "wave-progress",
    "wave-outcome",
    "help",
    "help-deactivate",
    "own-greeting",
    "own-prompt",
    "own-scheduled",
    "own-farewell",
)
"""In the order in which they are taken."""
FILES = (*(f"{name}-{kind}.png" for name in PICTURES for kind in SIZES), *page_pictures.FILES)
PILLS, REGULARS = 60, 70
ASKS = "to go on"
OWN = "Nobody can use your Matrix ID again"
DAY = 24 * 60 * 60  # in seconds, as Synapse keeps the creation of accounts
console = Console(highlight=False)


class Named(Scene):
    """A scene whose accounts are called as they are, without a random end."""

    async def account(self, role: str, *, admin: bool = False) -> str:
        """A new account of this name; returns its Matrix ID."""
        password = secrets.token_urlsafe(12)
        token = await self.homeserver.register(role, password, admin)
        user_id = self.homeserver.user_id(role)
        self.passwords[user_id], self.tokens[user_id] = password, token
        return user_id

    async def show_as(self, user_id: str, name: str) -> None:
        """Gives an account a display name: `PUT /_matrix/client/v3/profile/{user_id}/displayname`."""
        path = f"/_matrix/client/v3/profile/{quote(user_id, safe='')}/displayname"
        await self.homeserver.call("PUT", path, token=self.tokens[user_id], json={"displayname": name})


class Camera:
    """Takes the pictures, and remembers which."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.taken: list[str] = []

    async def take(self, name: str, tab: Tab, shown: str, *, start: str = "") -> None:
        """One picture in each size, once a message on the page has the text `shown`; `start` as for `Tab.picture`."""
        await tab.see(shown)
        for kind, size in SIZES.items():
            path = self._folder / f"{name}-{kind}.png"
            height = await tab.picture(path, size, sharp=kind == "phone", start=start, measured=shown)
            self.taken.append(path.name)
            console.print(f"{path.name}: the message is {height:.0f} px high")


def shrink(folder: Path) -> None:
    """Makes the pictures small, with `pngquant` where it is installed."""
    files = sorted(str(path) for path in folder.glob("*.png"))
    pngquant = shutil.which("pngquant")
    if pngquant is None:
        console.print("pngquant isn't installed: the pictures stay as large as the browser makes them")
    else:
        subprocess.run([pngquant, "--force", "--ext", ".png", "--strip", "--speed", "1", "64", *files], check=True)


async def prepare(stage: Named) -> tuple[Person, list[str]]:
    """A bot that isn't started, two moderators, rooms and accounts; returns the second moderator, and the spammers."""
    await stage.set_up(start=False, bulk={"moderator_for": "0s"})
    await stage.show_as(stage.bot_id, "Lethe")
    second = await stage.add_moderator("moderator2")
    lounge = await stage.moderator.create_room(name="Lounge", preset="public_chat")
    kitchen = await stage.moderator.create_room(name="Help", preset="public_chat")
    for role, rooms, name in (
        ("spammer", (lounge, kitchen), "Cheap pills"),
        ("member", (lounge, kitchen), "Member"),
        ("visitor", (lounge,), "Visitor"),
    ):
        person = await stage.person(role)
        await stage.show_as(person.user_id, name)
        for room in rooms:
            await person.join(room)
            await person.say(room, "Cheap pills, today only!" if role == "spammer" else "Hello")
    for number in range(REGULARS):
        await stage.account(f"regular-{number + 1:02}")
    pills = [await stage.account(f"pills-{number + 1:02}") for number in range(PILLS)]
    return second, pills


async def age(stage: Named) -> None:
    """Lets those who aren't new have been here for long: by the homeserver's own database, while it is down."""
    await stage.homeserver.stop()
    ages = {"member": 1130, "visitor": 340, "spammer": 3} | {f"regular-{n + 1:02}": 200 for n in range(REGULARS)}
    with sqlite3.connect(stage.homeserver.database_file) as database:
        for role, days in ages.items():
            created = int(time.time()) - days * DAY
            found = database.execute(
                "UPDATE users SET creation_ts = ? WHERE name = ?", (created, stage.homeserver.user_id(role))
            )
            if found.rowcount != 1:
                raise RuntimeError(f"no account {role}")
    database.close()
    await stage.homeserver.start()


async def moderate(stage: Named, tab: Tab, second: Person, camera: Camera) -> None:
    """The admin room: help, one account, a wave."""
    await tab.say("!deactivate @spammer --erase --reason spam in three rooms")
    for key in ("✅", "❌"):
        await tab.reacted(ASKS, key)
    await camera.take("prompt", tab, ASKS)
    await tab.press(ASKS, "✅")
    await tab.see("· done")
    await camera.take("outcome", tab, "checks passed")
    await tab.unfold("checks passed")
    await camera.take("outcome-unfolded", tab, "checks passed", start="checks passed")

    command = "!deactivate --erase --match 'pills-*' --reason pill spam"
    await tab.say(command)
    for key in ("✅", "❌"):
        await tab.reacted(ASKS, key)
    await camera.take("wave-prompt", tab, ASKS, start=command)
    await second.until(lambda: found(second, stage.room), what="the wave's prompt")
    await second.react(stage.room, found(second, stage.room)[-1].event_id, "✅")
    await camera.take("wave-progress", tab, "a minute · about", start=command)
    await camera.take("wave-outcome", tab, "It took", start="Asked by")

    await tab.say("!help")
    await camera.take("help", tab, "!help deactivate", start="!help")
    await tab.say("!help deactivate")
    await camera.take("help-deactivate", tab, "--redact", start="!help deactivate")


def found(person: Person, room: str) -> list[Message]:
    """The prompts of waves that this person has seen."""
    return [message for message in person.timeline.messages(room) if f"{PILLS} accounts?" in message.body]


async def leave(stage: Named, browser: Browser, camera: Camera) -> None:
    """Two people in direct messages: one who has a week to think about it, and one whose account goes at once."""
    tab = await sit_down(stage, browser, "member")
    await camera.take("own-greeting", tab, "I am Lethe")
    await tab.say("!deactivate --erase --keep-media")
    for key in ("✅", "❌"):
        await tab.reacted(OWN, key)
    await camera.take("own-prompt", tab, OWN)
    await confirm(tab)
    await tab.see("will be removed on")
    await tab.reacted("will be removed on", "❌")
    await camera.take("own-scheduled", tab, "will be removed on")

    await stage.bot.stop()
    stage.bot.configure(self_service={"grace_period": "0s"})
    await stage.bot.start()
    tab = await sit_down(stage, browser, "visitor")
    await tab.see("I am Lethe")
    await tab.say("!deactivate --erase --keep-media")
    await confirm(tab)
    await tab.signed_out()
    await camera.take("own-farewell", tab, "begins now", start="begins now")


async def confirm(tab: Tab) -> None:
    """The person presses ✅ and types their Matrix ID."""
    await tab.press(OWN, "✅")
    await tab.see("type your full Matrix ID")
    await tab.say(tab.name)


async def sit_down(stage: Named, browser: Browser, role: str) -> Tab:
    """The person opens the client, and a direct message with the bot."""
    user_id = stage.homeserver.user_id(role)
    person = next(each for each in stage.people if each.user_id == user_id)
    tab = await browser.log_in(stage.homeserver.base_url, user_id, stage.passwords[user_id])
    await tab.open(await person.dm(stage.bot_id, encrypted=True))
    return tab


async def main() -> int:
    """Takes all pictures; ends with 1 where they can't be taken."""
    reason = why_no_browser()
    if reason:
        console.print(f"No pictures: {reason}")
        return 1
    FOLDER.mkdir(exist_ok=True)
    camera = Camera(FOLDER)
    async with Homeserver(server_name="example.org") as homeserver, Browser() as browser:
        stage = Named(homeserver)
        try:
            second, _ = await prepare(stage)
            await age(stage)
            moderator = stage.moderator
            tab = await browser.log_in(homeserver.base_url, moderator.user_id, stage.passwords[moderator.user_id])
            await tab.open(stage.room)
            await stage.bot.start()
            await stage.bot_joined()
            await moderate(stage, tab, second, camera)
            await leave(stage, browser, camera)
        except Exception:
            console.print(stage.bot.log[-3000:] if hasattr(stage, "bot") else "", style="dim", markup=False)
            raise
        finally:
            await stage.close()
        camera.taken += await page_pictures.take(homeserver, FOLDER)
    shrink(FOLDER)
    return 0 if tuple(camera.taken) == FILES else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
