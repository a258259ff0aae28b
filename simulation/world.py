"""One run: a homeserver, a bot, people and trouble, all made from one seed."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import random
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import config
from simulation import trouble, truths
from simulation.loop import SimulatedLoop
from simulation.machine import Machine
from simulation.model.server import Server
from simulation.model.state import Room
from simulation.network import Network, Weather
from simulation.people import InAdminRoom, Leaver
from simulation.wave_witness import WaveWitness
from simulation.witness import Witness

SERVER = "model.test"
BOT = f"@lethe:{SERVER}"
HOUR_MS = 3_600_000
BEGIN_MS = 1_800_000_000_000
"""The wall's clock at the beginning."""
SETTLING = ((300.0, 0), (200.0, 3 * HOUR_MS), (300.0, 72 * HOUR_MS))
"""Fine weather at the end: seconds, and how far the wall's clock jumps before. The longest pause between attempts is
two hours and its jitter, the longest period of grace two days."""
LENGTHS = {5.0: (100, 200), 20.0: (200, 400), 60.0: (400, 900)}
"""Seconds between two doings of somebody, at most → for how many seconds this goes on: busy lives are short ones."""
MEMORY = Path("/dev/shm")
"""Where the machine's disk is, if there is such a place: nothing on it has to outlive the run."""


@dataclass
class Outcome:
    """What became of a seed."""

    seed: int
    faults: list[str] = field(default_factory=list)
    requests: int = 0
    """HTTP requests of the bot."""
    acts: int = 0
    """Of these, changes to accounts."""
    removals: int = 0
    """Accounts gone by the bot."""
    kills: int = 0
    seconds: float = 0.0
    """Simulated."""
    trace: str = ""
    """A hash over all that happened on the homeserver, and when it was asked for what: the same for the same seed."""


class _Errors(logging.Handler):
    """Collects what the bot itself calls unexpected."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(logging.ERROR)
        self._machine = machine
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and self._machine.running:
            self.found.append(f"in the log: {self.format(record)}")


class World:
    """
    Args:
        seed: decides everything.
        disk: an empty directory.
    """

    def __init__(self, seed: int, disk: Path, loop: SimulatedLoop) -> None:
        self.seed = seed
        self._loop = loop
        self._ahead_ms = 0
        self._pace = self.chance("pace").choice(tuple(LENGTHS))
        self._skew_ms = self.chance("skew").randint(-400, 400)
        self.server = Server(SERVER, lambda: self.now() + self._skew_ms, self.chance("server"))
        self._settings = self._make_settings(disk)
        self._people()
        self_service, bulk = self._settings.self_service, self._settings.bulk
        self.witness = Witness(
            self.server, BOT, self.admin_room.room_id, lambda: int(loop.time() * 1000),
            power_level=self._settings.moderators.power_level,
            expires_after_ms=int(self._settings.confirmation.expires_after.total_seconds() * 1000),
            needs_matrix_id=self_service.confirm_by_matrix_id, needs_approval=self_service.approval == "moderator",
            waves=WaveWitness(self.server, BOT, bulk.other_moderator_above == 0, bulk.type_number_above == 0),
        )  # fmt: skip
        for room in self.server.rooms.values():
            for event in room.timeline:
                self.witness.event(event)
        self.server.seen.append(self.witness.event)
        self.network = Network(self.server, self.chance("network"), self.witness.requested)
        self.machine = Machine(self._settings, self.network, self.now, self.chance("disk"), f"jitter {seed}")

    def chance(self, what: str) -> random.Random:
        return random.Random(f"{self.seed} {what}")  # noqa: S311 - a seed decides everything

    def now(self) -> int:
        """The wall's clock, in milliseconds since 1970."""
        return BEGIN_MS + self._ahead_ms + int(self._loop.time() * 1000)

    def pass_time(self, ms: int) -> None:
        self._ahead_ms += ms

    def _make_settings(self, disk: Path) -> config.Settings:
        chance = self.chance("settings")
        return config.validate(
            {
                "homeserver": {"url": "http://model", "user_id": BOT, "access_token": "token", "device_id": "DEVICE"},
                "admin_room": f"#admins:{SERVER}",
                "data_dir": str(disk),
                "protected_users": [f"@protected:{SERVER}"],
                "moderators": {"max_removals_per_hour": chance.choice((2, 20))},
                "confirmation": {
                    "expires_after": chance.choice(("60s", "10m")),
                    "confirmed_by": chance.choice(("any_moderator", "any_moderator", "requester", "other_moderator")),
                },
                "bulk": {
                    "other_moderator_above": chance.choice((0, 10, 10)),
                    "type_number_above": chance.choice((0, 100, 100)),
                    "moderator_for": chance.choice(("0s", "0s", "1h")),
                },
                "self_service": {
                    "grace_period": chance.choice(("0s", "10m", "2d")),
                    "approval": chance.choice(("none", "none", "moderator")),
                    "confirm_by_matrix_id": chance.choice((True, False)),
                },
            },
            {},
        )

    def _people(self) -> None:
        chance, server = self.chance("people"), self.server
        server.register("lethe", admin=True)
        self.moderators = [server.register(f"mod{n}").user_id for n in range(chance.randint(1, 3))]
        self.intruder = server.register("intruder").user_id
        server.register("protected")
        self.targets = [server.register(f"person{n}").user_id for n in range(chance.randint(2, 5))]
        self.admin_room = self._make_admin_room(chance)
        server.aliases[f"#admins:{SERVER}"] = self.admin_room.room_id
        for user_id in self.targets:
            self._furnish(user_id, chance)

    def _make_admin_room(self, chance: random.Random) -> Room:
        encryption = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
        first, *others = self.moderators
        users = {first: 100, BOT: 50, **dict.fromkeys(others, 50)}
        room = self.server.create_room(
            first,
            name="Admins",
            invite=[BOT, *others, self.intruder],
            initial_state=[encryption] if chance.random() < 0.5 else [],
            power_levels={"users": users},
        )
        for user_id in (*others, self.intruder):
            self.server.join(user_id, room.room_id)
        return room

    def _furnish(self, user_id: str, chance: random.Random) -> None:
        """Rooms, messages, files and addresses of somebody."""
        account = self.server.accounts[user_id]
        account.pushers, account.account_data = chance.randint(0, 2), {"m.direct": {}}
        account.threepids = [{"medium": "email", "address": f"{user_id[1:]}@mail"}] if chance.random() < 0.5 else []
        for _ in range(chance.choice((0, 1, 150))):
            self.server.upload(user_id)
        for _ in range(chance.randint(0, 3)):
            others = chance.sample(self.targets, chance.randint(0, min(3, len(self.targets))))
            room = self.server.create_room(user_id, version=chance.choice(("10", "11", "12")), public=True)
            for other in others:
                self.server.join(other, room.room_id)
            for number in range(chance.randint(0, 4)):
                content = {"msgtype": "m.text", "body": "spam"}
                self.server.send(user_id, room.room_id, "m.room.message", content, f"{user_id} spam {number}")

    # --- the run ---

    async def run(self) -> None:
        """Hours in which much goes wrong, then hours in which nothing does."""
        chance = self.chance("length")
        await self.machine.start()
        async with asyncio.timeout(1_000):
            while self.admin_room.membership(BOT) != "join":  # noqa: ASYNC110 - the model tells nobody
                await asyncio.sleep(1)
        doings = [asyncio.ensure_future(each) for each in self._doings()]
        await asyncio.sleep(chance.choice(LENGTHS[self._pace]))
        for each in doings:
            each.cancel()
        await asyncio.gather(*doings, return_exceptions=True)
        for each in doings:
            if not each.cancelled() and (error := each.exception()) is not None:
                raise error  # a mistake of the simulation's own
        self.network.weather, self.machine.dies_at = Weather(), None
        if not self.machine.running:
            await self.machine.start()
        supervising = asyncio.ensure_future(trouble.supervise(self.machine))
        for seconds, jump_ms in SETTLING:
            self.pass_time(jump_ms)
            await asyncio.sleep(seconds)
        supervising.cancel()
        await self.machine.stop()

    def _doings(self) -> list[Coroutine[Any, Any, None]]:
        pause = self._pace
        doings: list[Any] = [trouble.supervise(self.machine)]
        who = [*self.targets, self.moderators[-1], f"@nobody:{SERVER}", f"@protected:{SERVER}", "@far:away.test"]
        for user_id in (*self.moderators, self.intruder):
            chance = self.chance(f"admin room {user_id}")
            person = InAdminRoom(self.server, user_id, BOT, chance, room=self.admin_room, targets=who)
            doings.append(person.run(pause))
        for user_id in self.targets[:2]:
            leaver = Leaver(self.server, user_id, BOT, self.chance(f"direct {user_id}"), stranger=self.intruder)
            doings.append(leaver.run(pause))
        kinds = self.chance("kinds")
        if kinds.random() < 0.8:
            doings.append(trouble.weather(self.network, self.chance("weather")))
        if kinds.random() < 0.7:
            doings.append(trouble.kills(self.machine, self.chance("kills")))
        if kinds.random() < 0.4:
            gone = self.witness.gone_by_others.add
            doings.append(trouble.other_admins(self.server, self.targets, gone, self.chance("other admins")))
        if kinds.random() < 0.5:
            doings.append(trouble.days(self.pass_time, self.chance("days")))
        return doings


def play(seed: int) -> Outcome:
    """Runs one seed to its end, and leaves nothing behind that a later run could meet."""
    collected = gc.isenabled()
    gc.disable()  # what it finds in circles would end at a time that no seed decides
    try:
        return _life(seed)
    finally:
        gc.collect()
        if collected:
            gc.enable()


def _life(seed: int) -> Outcome:
    outcome = Outcome(seed)
    with tempfile.TemporaryDirectory(prefix="lethe-simulation-", dir=MEMORY if MEMORY.is_dir() else None) as disk:
        loop = SimulatedLoop(random.Random(f"{seed} order"))  # noqa: S311 - a seed decides everything
        try:
            loop.run_until_complete(_play(outcome, Path(disk), loop))
        except Exception as error:
            outcome.faults.append(f"{type(error).__name__}: {error}")
        finally:
            loop.end()
        outcome.seconds = loop.time()
    return outcome


async def _play(outcome: Outcome, disk: Path, loop: SimulatedLoop) -> None:
    world = World(outcome.seed, disk, loop)
    errors = _Errors(world.machine)
    logging.getLogger().addHandler(errors)
    try:
        await world.run()
        await truths.check(world.witness, world.server, world.machine.look(), world.now())
    finally:
        logging.getLogger().removeHandler(errors)
    ended = [f"the bot ended by itself: {error!r}" for error in world.machine.ended]
    outcome.faults = [*world.witness.faults, *errors.found, *ended]
    outcome.requests, outcome.acts, outcome.kills = world.network.requests, world.witness.acts, world.machine.kills
    gone = {account.user_id for account in world.server.accounts.values() if account.deactivated}
    outcome.removals = len(gone - world.witness.gone_by_others)
    outcome.trace = _trace(world, loop)


def _trace(world: World, loop: SimulatedLoop) -> str:
    """What happened, without what is random by design: ids that the bot makes up, hashes."""
    digest = hashlib.sha256(f"{world.network.trace.hexdigest()} {loop.turns}\n".encode())
    for room in world.server.rooms.values():
        for event in room.timeline:
            digest.update(f"{event.position} {event.sender} {event.type} {event.ts} {event.redacted}\n".encode())
    return digest.hexdigest()[:16]
