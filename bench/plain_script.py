"""What a moderator would write in an afternoon: the best plain script, and synadm in a loop."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import aiohttp
import yaml

from sandbox.homeserver import Homeserver

POLL = 0.25
"""Seconds between looks whether an account has left its rooms."""


async def deactivate(homeserver: Homeserver, token: str, users: Sequence[str], side_by_side: int) -> float:
    """Deactivates, erases and waits until each is in no room, so many at once; returns the seconds it took."""
    waiting = iter(users)
    headers = {"Authorization": f"Bearer {token}"}
    began = time.monotonic()
    async with aiohttp.ClientSession(homeserver.base_url, headers=headers) as session, asyncio.TaskGroup() as group:

        async def work() -> None:
            for user_id in waiting:
                quoted = quote(user_id)
                url = f"/_synapse/admin/v1/deactivate/{quoted}"
                async with session.post(url, json={"erase": True}) as answer:
                    answer.raise_for_status()
                while True:
                    async with session.get(f"/_synapse/admin/v1/users/{quoted}/joined_rooms") as answer:
                        if not (await answer.json())["total"]:
                            break
                    await asyncio.sleep(POLL)

        for _ in range(side_by_side):
            group.create_task(work())
    return time.monotonic() - began


async def suspend(homeserver: Homeserver, token: str, users: Sequence[str], side_by_side: int) -> float:
    """Suspends, and nothing else; returns the seconds it took."""
    waiting = iter(users)
    headers = {"Authorization": f"Bearer {token}"}
    began = time.monotonic()
    async with aiohttp.ClientSession(homeserver.base_url, headers=headers) as session, asyncio.TaskGroup() as group:

        async def work() -> None:
            for user_id in waiting:
                url = f"/_synapse/admin/v1/suspend/{quote(user_id)}"
                async with session.put(url, json={"suspend": True}) as answer:
                    answer.raise_for_status()

        for _ in range(side_by_side):
            group.create_task(work())
    return time.monotonic() - began


async def synadm(homeserver: Homeserver, token: str, admin: str, users: Sequence[str], folder: Path) -> float | None:
    """`synadm user deactivate` one after another; seconds for each account, None where it isn't installed."""
    program = Path(sys.executable).with_name("synadm")
    if not program.exists():
        return None
    config = folder / "synadm.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "user": admin,
                "token": token,
                "base_url": homeserver.base_url,
                "admin_path": "/_synapse/admin",
                "matrix_path": "/_matrix",
                "format": "minified",
                "timeout": 60,
                "server_discovery": "well-known",
                "homeserver": homeserver.server_name,
                "ssl_verify": True,
            }
        )
    )
    began = time.monotonic()
    for user_id in users:
        process = await asyncio.create_subprocess_exec(
            str(program), "--batch", "--config-file", str(config), "user", "deactivate", "--gdpr-erase", user_id,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        said, _ = await process.communicate()
        if process.returncode or b"id_server_unbind_result" not in said:
            raise RuntimeError(f"synadm: {said.decode()[-500:]}")
    return (time.monotonic() - began) / len(users)
