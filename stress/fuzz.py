"""`make fuzz`: tens of thousands of random events and to-device messages through the bot's real parsing path.

From the answer of a sync through decryption, inbox and dispatcher to the outbox, on real files. Nothing may raise, no
event may stay unhandled, no account may be touched, and in the end a moderator's `!help` must be answered.

Hypothesis draws the pieces (it is good at nasty values, and slow); from these the events are put together at random,
and each is different. The same seed puts together the same. A seed that failed joins `FAILED`: `make check` plays
those again, before one that nobody knows yet.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import secrets
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from stress.fuzz_parts import ADMIN, BOT, DIRECT, MEMBER, MODERATOR, TARGET, Fuzzed, usual_state

MEMORY = Path("/dev/shm")
FAILED = {1034175287: 3000}
"""Seeds that failed once with `--pieces 100`, and for how many events each is played: more than it took."""

# --- what may come ---------------------------------------------------------------------------------------------------

_ODD = [
    "", "\u0000", "\ud800", "\u202e", "é", "A" * 43, "x" * 5000, "\n", "<b>", "{{ 7 }}", "$bot-1", "$bot-2", "$bot-3",
    ADMIN, DIRECT, BOT, MODERATOR, MEMBER, TARGET, "join", "leave", "invite", "public", "✅", "❌", "✅\ufe0f",
]  # fmt: skip
TEXT = st.text(max_size=12) | st.sampled_from(_ODD)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)
_WORDS = [
    "!help", "!deactivate", "!status", "!receipt", "!cancel", "!retry", "!close", "!approve", "!refuse", "!accept",
    "!audit",
    "!requests", "!handover", "yes", "no", "R1", "R2", "R3", "R0", "R99999999999999999999", "--erase", "--reason",
    "--in", "7d", "--at", "2030-01-01", "--dry-run", "--handover", "--since", "--all", "--request", "\"", "'", "“",
    TARGET, "@target", MODERATOR, MEMBER, f"https://matrix.to/#/{TARGET}", "matrix:u/target:lethe.test", "> quoted",
    "#room:lethe.test",
    "!exclude", "!pause", "!resume", "!receipt", "B1", "B2", "B0", "1000", "1,000", "--match", "'x*'", "--never-joined",
    "--registered-after", "2h", "--no-messages", "--ip-of", "--now", "\n", "\n```\n", f"\n{TARGET}\n{MEMBER}\n# x\n",
]  # fmt: skip
_COMMANDS = [
    "!help", "!help deactivate", f"!deactivate {TARGET}", f"!deactivate {TARGET} --erase --reason x",
    f"!deactivate {TARGET} --in 7d", f"!deactivate {TARGET} --dry-run", "!requests --all", "!status R1", "!receipt R1",
    "!audit", "!cancel R1", "!deactivate", "!deactivate --erase --keep-media", "!mydata", "yes R1", MEMBER,
    f"!deactivate {TARGET} {MEMBER}", f"!deactivate\n{TARGET}\n{MEMBER}\n", "!deactivate --match 'x*'", "yes B1",
    "B1 7", "!status B1", f"!status B1 {TARGET}", f"!exclude B1 {TARGET}", "!pause B1", "!cancel B1",
]  # fmt: skip


def some(keys: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with those keys, each of them right, wrong, or missing."""
    mostly = {key: st.one_of(value, value, value, JSON) for key, value in keys.items()}
    return st.fixed_dictionaries({}, optional=mostly)


SAID = st.sampled_from(_COMMANDS) | st.lists(st.sampled_from(_WORDS) | TEXT, max_size=7).map(" ".join)
HTML = st.lists(
    st.sampled_from(["<p>", "</p>", '<a href="https://matrix.to/#/', TARGET, '">', "</a>", "<mx-reply>", "<script>"])
    | SAID,
    max_size=8,
).map("".join)
EVENT_ID = st.integers(1, 60).map(lambda number: f"$bot-{number}") | TEXT
RELATION = some(
    {
        "rel_type": st.sampled_from(["m.annotation", "m.replace", "m.thread"]),
        "event_id": EVENT_ID,
        "key": st.sampled_from(["✅", "❌", "✔", "✖\ufe0f", "👍"]),
        "m.in_reply_to": some({"event_id": EVENT_ID}),
    }
)
MESSAGE = some(
    {
        "msgtype": st.sampled_from(["m.text"] * 6 + ["m.notice", "m.key.verification.request"]),
        "body": SAID,
        "format": st.just("org.matrix.custom.html"),
        "formatted_body": HTML,
        "m.new_content": some({"msgtype": st.just("m.text"), "body": SAID}),
        "m.mentions": JSON,
        "m.relates_to": RELATION,
    }
)
STATE = some(
    {
        "membership": st.sampled_from(["join", "leave", "ban", "invite", "knock"]),
        "users": st.dictionaries(st.sampled_from([MODERATOR, MEMBER, BOT, TARGET]) | TEXT, st.integers() | JSON),
        "users_default": st.integers(),
        "join_rule": st.sampled_from(["public", "invite", "knock"]),
        "history_visibility": st.sampled_from(["world_readable", "shared"]),
        "guest_access": st.just("can_join"),
        "replacement_room": st.just("!new:lethe.test") | TEXT,
        "predecessor": some({"room_id": st.just(ADMIN)}),
        "algorithm": TEXT,
    }
)
MEGOLM = some({"algorithm": st.just("m.megolm.v1.aes-sha2"), "session_id": TEXT, "ciphertext": TEXT})
OLM = some({"algorithm": TEXT, "sender_key": TEXT, "ciphertext": st.dictionaries(TEXT, JSON, max_size=2)})
ROOM_KEY = some({"session_id": TEXT, "session_key": TEXT, "room_id": TEXT})
OLM_PAYLOAD = some(
    {
        "type": st.sampled_from(["m.room_key", "m.forwarded_room_key", "m.dummy", "m.room_key_request"]),
        "sender": st.sampled_from([MODERATOR, MEMBER]),
        "recipient": st.just(BOT),
        "recipient_keys": some({"ed25519": TEXT}),
        "keys": some({"ed25519": TEXT}),
        "content": some({"algorithm": TEXT, "room_id": st.just(ADMIN), "session_id": TEXT, "session_key": TEXT}),
    }
)
_MEMBER_OF_INVITE = some(
    {
        "type": st.just("m.room.member"),
        "state_key": st.just(BOT),
        "sender": st.sampled_from([MODERATOR, MEMBER, TARGET]),
        "content": some({"membership": st.just("invite")}),
    }
)
TYPES = [
    "m.room.message", "m.reaction", "m.room.redaction", "m.room.encrypted", "m.key.verification.start", "m.sticker",
    "lethe.invite", "lethe.leave", "",
]  # fmt: skip
STATE_TYPES = [
    "m.room.power_levels", "m.room.member", "m.room.join_rules", "m.room.tombstone", "m.room.encryption",
    "m.room.guest_access", "m.room.history_visibility", "m.room.message", "m.room.name",
]  # fmt: skip


class Pieces:
    """What events are put together from."""

    def __init__(self, each: int, random: Random) -> None:
        """Args: each: so many of every kind are drawn."""
        self.random = random
        self._drawn = {
            name: draw(strategy, each, random.randrange(2**32))
            for name, strategy in {
                "json": JSON, "text": TEXT, "said": SAID, "message": MESSAGE, "relation": RELATION, "state": STATE,
                "megolm": MEGOLM, "olm": OLM, "room_key": ROOM_KEY, "olm_payload": OLM_PAYLOAD,
                "invite": st.lists(_MEMBER_OF_INVITE, max_size=3),
            }.items()
        }  # fmt: skip

    def one(self, name: str) -> Any:
        """One piece of a kind; now and then something in it is replaced by anything."""
        piece = self.random.choice(self._drawn[name])
        if isinstance(piece, dict) and piece and self.random.random() < 0.1:
            piece = {**piece, self.random.choice(list(piece)): self.random.choice(self._drawn["json"])}
        return piece

    def event(self) -> dict[str, Any]:
        """Type and content of some event: most fit together."""
        kind = self.random.choices(["command", "message", "reaction", "json"], [6, 3, 3, 1])[0]
        body = self.random.choice(_COMMANDS) if self.random.random() < 0.5 else self.one("said")
        content: Any = {"msgtype": "m.text", "body": body}
        if kind == "reaction":
            content = {"m.relates_to": self.one("relation")}
        elif kind != "command":
            content = self.one(kind)
        fitting = "m.reaction" if kind == "reaction" else "m.room.message"
        return {"type": fitting if self.random.random() < 0.9 else self.random.choice(TYPES), "content": content}


def draw(strategy: st.SearchStrategy[Any], count: int, number: int) -> list[Any]:
    """So many values that hypothesis draws from a seed."""
    found: list[Any] = []

    @settings(
        max_examples=count, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    @seed(number)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return found


# --- how it is played ------------------------------------------------------------------------------------------------


class Player:
    """Puts together what the bot is to hear."""

    def __init__(self, bot: Fuzzed, pieces: Pieces) -> None:
        self.bot = bot
        self.pieces = pieces
        self.random = pieces.random
        self.events = self.to_device = self.invites = 0

    async def play(self) -> None:
        """A few syncs. Raises: AssertionError."""
        answers = [self._answer() for _ in range(self.random.randint(1, 3))]
        state = usual_state()
        if self.random.random() < 0.3:
            state += [self._state() for _ in range(self.random.randint(1, 3))]
        await self.bot.hear(answers, state)

    def _answer(self) -> dict[str, Any]:
        joined = {
            room_id: {"timeline": {"events": [self._event(room_id) for _ in range(self.random.randint(0, most))]}}
            for room_id, most in ((ADMIN, 25), (DIRECT, 6))
        }
        invites = {self.pieces.one("text"): self._invite() for _ in range(self.random.randint(0, 1))}
        self.invites += len(invites)
        anything = self.pieces.one("json")
        return {
            "rooms": {
                "join": joined,
                "invite": {room: {"invite_state": {"events": each}} for room, each in invites.items()},
                "leave": anything,
            },
            "to_device": {"events": [self._message() for _ in range(self.random.randint(0, 20))]},
            "device_lists": anything,
        }

    def _invite(self) -> Any:
        event = {"type": "m.room.member", "state_key": BOT, "content": {"membership": "invite"}}
        right = {**event, "sender": self.random.choice([MODERATOR, MEMBER, TARGET]), "event_id": f"$i{self.invites}"}
        return [right] if self.random.random() < 0.5 else self.pieces.one("invite")

    def _state(self) -> dict[str, Any]:
        key = self.random.choice(["", "", BOT, MODERATOR, MEMBER, self.pieces.one("json")])
        content = self.pieces.one(self.random.choice(["state", "state", "json"]))
        return {"type": self.random.choice(STATE_TYPES), "state_key": key, "content": content}

    def _event(self, room_id: str) -> Any:
        self.events += 1
        kind = self.random.choices(["sealed", "clear", "state", "megolm", "junk"], [6, 4, 2, 1, 1])[0]
        if kind == "junk":
            return self.pieces.one("json")
        sender = self.random.choice([MODERATOR, MODERATOR, MEMBER, MEMBER, BOT, TARGET, self.pieces.one("text")])
        event = {"type": "m.room.encrypted", "content": {}}
        if kind == "sealed":
            event, sender = self._sealed(room_id, sender)
        elif kind == "clear":
            event = self.pieces.event()
        elif kind == "state":
            event = self._state()
        elif kind == "megolm":
            event["content"] = self.pieces.one("megolm")
        event_id = f"$again-{self.events % 7}" if self.random.random() < 0.05 else f"$event-{self.events}"
        anything = self.pieces.one("json") if self.random.random() < 0.1 else 2**60
        ts = self.random.choice([1_700_000_000_000, 0, -1, anything])
        return {**event, "event_id": event_id, "sender": sender, "origin_server_ts": ts}

    def _sealed(self, room_id: str, sender: str) -> tuple[dict[str, Any], str]:
        """An event that can be decrypted; mostly in its owner's name, else it would always be a forgery."""
        pen = self.random.choice(self.bot.pens)
        payload: Any = self.pieces.event()
        odd = self.random.random()
        if odd < 0.1:
            payload = self._state()
        elif odd < 0.2:
            payload = self.pieces.one("json")
        content = pen.megolm(room_id, _plaintext(payload))
        if self.random.random() < 0.2:
            content["m.relates_to"] = self.pieces.one("relation")
        return {"type": "m.room.encrypted", "content": content}, pen.user_id if self.random.random() < 0.8 else sender

    def _message(self) -> Any:
        self.to_device += 1
        kind = self.random.choice(["sealed", "room_key", "olm", "json"])
        if kind == "sealed":
            return self.bot.pens[1].olm(_plaintext(self.pieces.one("olm_payload")))
        if kind == "room_key":
            changes = self.pieces.one("room_key")
            return self.bot.pens[1].room_key(ADMIN, changes)
        if kind == "olm":
            return {"type": "m.room.encrypted", "sender": MEMBER, "content": self.pieces.one("olm")}
        return self.pieces.one("json")

    async def still_answers(self) -> bool:
        """Whether a moderator's `!help` is answered, after all of it."""
        payload = json.dumps({"type": "m.room.message", "content": {"msgtype": "m.text", "body": "!help"}})
        content = self.bot.pens[0].megolm(ADMIN, payload)
        event = {"type": "m.room.encrypted", "content": content, "event_id": "$last", "sender": MODERATOR}
        timeline = {"events": [{**event, "origin_server_ts": 1}]}
        await self.bot.hear([{"rooms": {"join": {ADMIN: {"timeline": timeline}}}}], usual_state())
        return "!deactivate" in self.bot.last_said


def _plaintext(payload: Any) -> str:
    try:
        return json.dumps(payload).encode(errors="ignore").decode()
    except (ValueError, RecursionError):
        return "[]"


async def run(directory: Path, pieces: Pieces, events: int, seconds: float) -> int:
    """Plays until there were so many events, or so many seconds are over; prints the figures."""
    began = time.monotonic()
    bot = Fuzzed(directory, confirmation={"method": pieces.random.choice(["reaction", "reply"])})
    player = Player(bot, pieces)
    await bot.start()
    try:
        await bot.hear(
            [{"to_device": {"events": [each for pen in bot.pens for each in pen.room_keys()]}}], usual_state()
        )
        while player.events < events and time.monotonic() - began < seconds:
            await player.play()
        alive = await player.still_answers()
        figures = {
            "events": player.events,
            "to-device messages": player.to_device,
            "invitations": player.invites,
            "stored in the inbox": await bot.count("SELECT COUNT(*) FROM inbox"),
            "messages in answer": await bot.count("SELECT COUNT(*) FROM outbox"),
            "requests opened": await bot.count("SELECT COUNT(*) FROM requests"),
            "seconds": int(time.monotonic() - began),
        }
    finally:
        await bot.close()
    for name, number in figures.items():
        print(f"{name + ':':24}{number:>8}")
    print("nothing raised, and !help is answered" if alive else "!help isn't answered any more")
    return int(not alive)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=40_000, help="stop after so many events")
    parser.add_argument("--seconds", type=float, default=3600.0, help="or after so many seconds")
    parser.add_argument("--pieces", type=int, default=500, help="pieces of each kind to put events together from")
    parser.add_argument("--seed", type=int, default=None, help="put together the same as that time")
    parser.add_argument("--failed", action="store_true", help="first play the seeds that failed once, for a while each")
    options = parser.parse_args()
    logging.getLogger("nio").setLevel(logging.CRITICAL)
    chosen = options.seed if options.seed is not None else secrets.randbelow(2**32)
    known = FAILED.items() if options.failed else ()
    return max(
        play_seed(number, options.pieces, events, options.seconds)
        for number, events in [*known, (chosen, options.events)]
    )


def play_seed(number: int, pieces: int, events: int, seconds: float) -> int:
    """One run. The seed is printed first, so that one that fails can be played again."""
    print(f"{'seed:':24}{number:>8}", flush=True)
    drawn = Pieces(pieces, Random(number))  # noqa: S311 - not for secrets
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as directory:
        return asyncio.run(run(Path(directory), drawn, events, seconds))


if __name__ == "__main__":
    sys.exit(main())
