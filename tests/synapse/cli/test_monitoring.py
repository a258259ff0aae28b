"""What monitoring, systemd and the log are told by a running bot."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sandbox.synapse_process import free_port
from tests.support.prompts import MakeScene, prompted

ENDED = ("lethe_requests_ended_total", "done", "moderation")


def parsed(page: str) -> dict[tuple[str, ...], float]:
    """What Prometheus' own parser reads: each sample's value, by its name and the values of its labels."""
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


async def ask(port: int, path: str) -> tuple[int, str]:
    """Status and text of an answer of the listener."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text()


async def test_a_removal_shows_in_the_metrics_and_in_the_log(scene: MakeScene) -> None:
    """Prometheus' own parser reads it; ended requests, steps, and the homeserver's answers are counted; each line of
    the log about a request has its reference. Without a homeserver it goes on answering."""
    port = free_port()
    stage = await scene(monitoring={"listen": f"127.0.0.1:{port}"}, log={"level": "debug", "format": "json"})
    assert json.loads((await ask(port, "/healthz"))[1]) == {"ok": True, "problems": []}
    assert (await ask(port, "/readyz"))[0] == 200
    prompt = await prompted(stage, await stage.account("leaver"))
    await prompt.react("✅")
    await prompt.hears("is deactivated")
    status, page = await ask(port, "/metrics")
    assert status == 200
    read = parsed(page)
    assert read["lethe_requests_ended_total", "done", "moderation"] == 1
    assert read["lethe_step_duration_seconds_count", "deactivate", "done"] == 1
    assert (
        read["lethe_homeserver_request_duration_seconds_count", "/_synapse/admin/v1/deactivate/{}", "200", "POST"] == 1
    )
    assert read["lethe_requests_stuck",] == 0 and read["lethe_inbox_events", "undecryptable"] == 0
    assert read["lethe_sync_last_success_timestamp_seconds",] > 1_700_000_000
    assert stage.bot_id not in page and prompt.target not in page
    lines: list[dict[str, Any]] = [json.loads(line) for line in stage.bot.log.splitlines()]
    steps = [line for line in lines if line["message"].startswith("step ")]
    assert len(steps) > 5 and {line.get("request") for line in steps} == {prompt.reference}


@pytest.mark.timeout(900)  # fifty removals on a busy machine
async def test_the_official_parser_reads_along_with_50_removals(scene: MakeScene) -> None:
    """Asked again and again while they run: each page is read, nothing named by a label is a person, a request or a
    room, counters never fall, and at the end all fifty are counted and nothing waits."""
    port = free_port()
    stage = await scene(monitoring={"listen": f"127.0.0.1:{port}"}, moderators={"max_removals_per_hour": 1000})
    prompts = [await prompted(stage, await stage.account("leaver")) for _ in range(50)]
    for prompt in prompts:
        await prompt.react("✅")
    before: dict[tuple[str, ...], float] = {}
    running, series = 0.0, 0
    async with asyncio.timeout(600):
        while before.get(ENDED) != 50:
            status, page = await ask(port, "/metrics")
            assert status == 200 and "leaver" not in page and "@" not in page and "!" not in page
            read = parsed(page)
            for name, value in before.items():
                if name[0].endswith(("_total", "_count", "_bucket", "_sum")):
                    assert read[name] >= value, name
            running = max(running, read.get(("lethe_requests_open", "moderation", "running"), 0))
            before, series = read, max(series, len(read))
            await asyncio.sleep(0.2)
    assert running > 1 and series < 1000
    assert before["lethe_step_duration_seconds_count", "deactivate", "done"] == 50
    assert before["lethe_data_dir_size_bytes",] > 100_000 < before["lethe_data_dir_free_bytes",]
    assert json.loads((await ask(port, "/healthz"))[1]) == {"ok": True, "problems": []}


async def test_systemd_is_told(scene: MakeScene, tmp_path: Path) -> None:
    """Ready once it runs, alive twice in each interval of the watchdog, and stopping."""
    stage = await scene(start=False)
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.setblocking(False)
        stage.bot.environment |= {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "400000"}
        await stage.bot.start()
        heard: list[str] = []
        async with asyncio.timeout(20):
            while heard.count("WATCHDOG=1") < 3:
                heard.append((await asyncio.get_running_loop().sock_recv(systemd, 100)).decode())
        assert await stage.bot.stop() == 0
        while heard[-1] != "STOPPING=1":
            heard.append((await asyncio.get_running_loop().sock_recv(systemd, 100)).decode())
        assert heard.count("READY=1") == 1


async def test_sighup_reads_the_log_settings_again(scene: MakeScene) -> None:
    """How it logs changes at once; what can't change is named; settings that can't be used change nothing."""
    stage = await scene()
    before = len(stage.bot.log)

    async def hup(until: str) -> None:
        assert stage.bot.pid is not None
        os.kill(stage.bot.pid, signal.SIGHUP)
        async with asyncio.timeout(20):
            while until not in stage.bot.log[before:]:  # noqa: ASYNC110 - another process' file
                await asyncio.sleep(0.05)

    stage.bot.configure(log={"format": "json"}, command_prefix="?")
    await hup("these need a restart: command_prefix")
    assert json.loads(stage.bot.log.splitlines()[-1])["level"] == "WARNING"
    stage.bot.config.write_text("- nothing")
    await hup("nothing is changed")
    assert stage.bot.running
    assert await stage.bot.stop() == 0
