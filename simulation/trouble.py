"""What comes over the bot from outside: weather on the network, kills and restarts, other admins, days that pass."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import fields

from simulation.machine import Machine
from simulation.model.server import Server
from simulation.network import Network, Weather

HOUR_MS = 3_600_000


async def weather(network: Network, chance: random.Random) -> None:
    """Fine spells, rough ones, and times when nobody listens."""
    rough = [each.name for each in fields(Weather) if each.name != "down"]
    while True:
        now = Weather()
        kind = chance.choice(("fine", "fine", "rough", "rough", "down"))
        if kind == "rough":
            for name in chance.sample(rough, chance.randint(1, 3)):
                setattr(now, name, chance.choice((0.02, 0.1, 0.3)))
        now.down = kind == "down"
        network.weather = now
        await asyncio.sleep(chance.random() * (40 if now.down else 120))


async def kills(machine: Machine, chance: random.Random) -> None:
    """The bot's process dies at one of its next doors, or is stopped in order, and comes back after a while."""
    while True:
        await asyncio.sleep(chance.random() * 240)
        if chance.random() < 0.8:
            machine.dies_at = chance.randint(1, 60)
            for _ in range(60):
                if not machine.running:
                    break
                await asyncio.sleep(1)
            machine.dies_at = None
            machine.kill()
        else:
            await machine.stop()
        await asyncio.sleep(chance.choice((0.1, 1.0, 90.0)) * chance.random())
        await machine.start()


async def supervise(machine: Machine) -> None:
    """Starts the bot again where it ended by itself, as systemd does."""
    while True:
        await asyncio.sleep(5)
        if machine.crashed:
            await machine.start()


async def other_admins(server: Server, targets: list[str], noted: Callable[[str], None], chance: random.Random) -> None:
    """Somebody else with rights on the server changes accounts."""
    while True:
        await asyncio.sleep(chance.random() * 300)
        account = server.accounts[chance.choice(targets)]
        match chance.choice(("admin", "no admin", "suspend", "free", "lock", "deactivate", "name")):
            case "admin":
                account.admin = True
            case "no admin":
                account.admin = False
            case "suspend":
                account.suspended = not account.deactivated
            case "free":
                account.suspended = False
            case "lock":
                account.locked = not account.locked
            case "deactivate":
                noted(account.user_id)
                server.deactivate(account, erase=chance.random() < 0.5)
            case "name":
                account.displayname = None if account.erased else chance.choice(("Ann", "<b>", "@x:y", "\u202eevil"))


async def days(pass_time: Callable[[int], None], chance: random.Random) -> None:
    """The machine sleeps: the wall's clock jumps."""
    while True:
        await asyncio.sleep(chance.random() * 900)
        pass_time(int(chance.random() * chance.choice((HOUR_MS, 24 * HOUR_MS, 72 * HOUR_MS))))
