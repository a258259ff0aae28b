"""`bot.py check`: what it finds missing or worth a word, and that it leaves no trace."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from cli import check
from config import load, warnings
from sandbox.client import Person
from sandbox.homeserver import Homeserver
from sandbox.lethe import Lethe
from sandbox.scene import Scene
from sandbox.synapse_process import free_port
from tests.support.prompts import line, prompted

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Stage(Scene):
    """The scene that these tests share: its bot runs. `checker` is another bot's account, with a client that joins the
    rooms that a test makes."""

    checker: Person

    async def room_with_checker(self, **options: Any) -> str:
        """A room of the moderator's that the checker is in (options as for `Person.create_room`)."""
        options = {"encrypted": True, "room_version": "11", "invite": [self.checker.user_id], **options}
        room = await self.moderator.create_room(**options)
        await self.checker.join(room)
        return room


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(homeserver: Homeserver) -> AsyncIterator[Stage]:
    """A running bot, and an account for bots that only check."""
    made = Stage(homeserver)
    try:
        await made.set_up()
        made.checker = await made.person("checker", admin=True)
        path = "/_matrix/client/v3/profile/{}/displayname"
        await made.checker.call("PUT", path, made.checker.user_id, json={"displayname": "Lethe"})
        yield made
    finally:
        await made.close()


Check = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
def look(stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Checks the settings of the checker, with others laid over; returns exit code and output."""

    async def look(admin_room: str = "", **settings: Any) -> tuple[int, str]:
        bot = Lethe(
            stage.homeserver.base_url,
            stage.checker.user_id,
            stage.passwords[stage.checker.user_id],
            admin_room or stage.room,
            data_dir=str(tmp_path / "data"),
            **settings,
        )
        try:
            capsys.readouterr()
            read = load(bot.config, {})
            code = await check.check(read, warnings(bot.config, read))
            return code, capsys.readouterr().out
        finally:
            await bot.close()

    return look


# --- good, and without a trace ---------------------------------------------------------------------------------------


async def test_all_good_beside_a_running_bot(stage: Stage) -> None:
    """Where nothing is missing every line is ✓ (or a warning), the exit code is 0, and the bot goes on undisturbed."""
    files = {path: path.read_bytes() for path in stage.bot.data_dir.glob("crypto/*.db")}
    code, output = await stage.bot.command("check")
    assert code == 0, output
    assert "✗" not in output
    for text in (
        "answers, and the access token belongs to",
        "is a server admin",
        "is in the admin room",
        "1 moderator there",
        "signed by its own",
    ):
        line(output, "✓", text)
    assert output.strip().splitlines()[-1] == "✓ Everything the bot needs is in place."
    assert {path: path.read_bytes() for path in files} == files and files
    assert (await stage.bot.command("check"))[0] == 0  # once more: nothing was used up
    await (await prompted(stage, await stage.account("bystander"))).react("❌")


async def test_with_no_stored_token_it_logs_in_and_out_again(stage: Stage, look: Check, tmp_path: Path) -> None:
    """Nothing is left of a check with the password: no device, no keys, no file."""

    async def left() -> tuple[Any, Any]:
        devices = await stage.admin("GET", f"v2/users/{stage.checker.user_id}/devices")
        query: dict[str, Any] = {"device_keys": {stage.checker.user_id: []}}
        keys = await stage.checker.call("POST", "/_matrix/client/v3/keys/query", json=query)
        return {each["device_id"] for each in devices["devices"]}, keys

    before = await left()
    room = await stage.room_with_checker()
    code, output = await look(admin_room=room)
    assert code == 0, output
    line(output, "✓", "can log in with the password (and was logged out again)")
    line(output, "✓", "will be created at the first start")
    assert await left() == before
    assert not (tmp_path / "data").exists()


# --- ✗ ---------------------------------------------------------------------------------------------------------------


async def test_a_wrong_password(look: Check) -> None:
    """The homeserver's refusal is told, and the password isn't."""
    code, output = await look(homeserver={"password": "not-the-password"})
    assert code == 1
    line(output, "✗", "refuses to log")
    assert "not-the-password" not in output
    assert output.strip().splitlines()[-1].startswith("✗ Something is missing")


async def test_a_dead_token(stage: Stage, look: Check) -> None:
    """A token that nobody knows is told where it is all there is; with a password, the bot would log in anew."""
    dead = {"access_token": "syt_dead_token", "device_id": "GONE"}
    room = await stage.room_with_checker()
    code, output = await look(admin_room=room, homeserver={**dead, "password": None})
    assert code == 1
    line(output, "✗", "doesn't know the access token")
    assert "syt_dead_token" not in output
    code, output = await look(admin_room=room, homeserver=dead)
    assert code == 0
    line(output, "!", "will log in again with the password")


async def test_another_accounts_token(stage: Stage, look: Check) -> None:
    """A token of somebody else names both accounts."""
    own = {"access_token": stage.moderator.access_token, "device_id": stage.moderator.device_id}
    code, output = await look(homeserver=own)
    assert code == 1
    assert stage.checker.user_id in line(output, "✗", f"belongs to {stage.moderator.user_id}")


async def test_an_account_that_is_no_server_admin(stage: Stage, look: Check) -> None:
    """Without admin rights there is nothing the bot could do."""
    plain = await stage.account("lethe")
    code, output = await look(homeserver={"user_id": plain, "password": stage.passwords[plain]})
    assert code == 1
    line(output, "✗", f"{plain} isn't a server admin")


async def test_a_bot_outside_the_admin_room(stage: Stage, look: Check) -> None:
    """Not joined, whether invited or not, is told with what to do."""
    code, output = await look()
    assert code == 1
    assert "Invite it" in line(output, "✗", f"isn't in the admin room {stage.room}")


async def test_too_little_power(stage: Stage, look: Check) -> None:
    """A room where only the powerful may write shuts the bot up."""
    room = await stage.room_with_checker()
    levels = await stage.moderator.state(room, "m.room.power_levels") or {}
    await stage.moderator.set_state(room, "m.room.power_levels", {**levels, "events_default": 60})
    code, output = await look(admin_room=room)
    assert code == 1
    line(output, "✗", "its power level is 0, and it needs 60")


async def test_nobody_who_moderates(stage: Stage, look: Check) -> None:
    """Nobody in the room reaches the level: nobody could command the bot. Who is named in the settings could."""
    room = await stage.room_with_checker()
    code, output = await look(admin_room=room, moderators={"power_level": 101})
    assert code == 1
    line(output, "✗", "Nobody in the admin room can command the bot")
    named = {"power_level": 101, "users": [stage.moderator.user_id]}
    assert (await look(admin_room=room, moderators=named))[0] == 0


async def test_an_open_data_directory(look: Check, tmp_path: Path) -> None:
    """Files that others can read are named, with the command that closes them."""
    (tmp_path / "data").mkdir(mode=0o700)
    secret = tmp_path / "data" / "lethe.db-wal"
    secret.touch(mode=0o640)
    secret.chmod(0o640)
    code, output = await look()
    assert code == 1
    assert f"chmod -R go= {tmp_path / 'data'}" in line(output, "✗", str(secret))


async def test_an_unknown_alias(look: Check) -> None:
    """An address that names no room."""
    code, output = await look(admin_room="#nowhere:lethe.test")
    assert code == 1
    line(output, "✗", "there is no room with the address #nowhere:lethe.test")


async def test_an_unreachable_homeserver(look: Check) -> None:
    """Nothing listens, or something else than a homeserver does: one line with the address."""
    url = f"http://127.0.0.1:{free_port()}"
    code, output = await look(homeserver={"url": url})
    assert code == 1
    line(output, "✗", f"Nothing listens at {url}")


async def test_a_database_that_cannot_be_read(look: Check, tmp_path: Path) -> None:
    """A file in the database's place that is none: said, without a traceback."""
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "lethe.db").touch(mode=0o600)
    (tmp_path / "data" / "lethe.db").write_text("no database at all, but long enough to be taken for one" * 20)
    code, output = await look()
    assert code == 1
    line(output, "✗", "lethe.db")


# --- for machines, and mended ----------------------------------------------------------------------------------------


async def test_as_json_every_finding_has_its_key_and_remedy(stage: Stage) -> None:
    """What monitoring reads: whether all is well, and each finding with a key that stays; settings too that can't be
    read at all."""
    code, output = await stage.bot.command("check", "--json")
    told = json.loads(output)
    assert code == 0 and told["ok"] is True
    found = {each["key"]: each for each in told["findings"]}
    assert found["admin_room_joined"]["level"] == "ok"
    assert found["rate_limited"]["level"] == "warning" and "--fix" in found["rate_limited"]["remedy"]
    broken = Lethe(stage.homeserver.base_url, stage.bot_id, "wrong", stage.room, adminroom="!a")
    try:
        code, output = await broken.command("check", "--json")
        assert code == 1 and json.loads(output)["findings"][0]["key"] == "config"
        broken.settings.pop("adminroom")
        broken.configure()
        code, output = await broken.command("check", "--json")
        told = json.loads(output)
        assert code == 1 and told["ok"] is False
        assert [each["key"] for each in told["findings"] if each["level"] == "error"] == ["broken"]
    finally:
        await broken.close()


async def test_fix_mends_what_is_safe(stage: Stage, tmp_path: Path) -> None:
    """The rate limit, the display name and file modes; nothing else, and a second look finds nothing to mend."""
    bot_id = await stage.account("unfixed", admin=True)
    room = await stage.moderator.create_room(encrypted=True, invite=[bot_id])
    bot = Lethe(stage.homeserver.base_url, bot_id, stage.passwords[bot_id], room)
    try:
        bot.data_dir.mkdir(mode=0o750)
        bot.data_dir.chmod(0o750)
        code, output = await bot.command("check")
        assert code == 1 and "mended" not in output
        code, output = await bot.command("check", "--fix")
        assert code == 0, output
        assert output.count("→ mended") == 3
        assert bot.data_dir.stat().st_mode & 0o777 == 0o700
        profile = await stage.homeserver.call("GET", f"/_matrix/client/v3/profile/{bot_id}")
        assert profile["displayname"] == "Lethe"
        assert "mended" not in (await bot.command("check", "--fix"))[1]
    finally:
        await bot.close()


# --- ! ---------------------------------------------------------------------------------------------------------------


async def test_warnings_of_the_admin_room(stage: Stage, look: Check) -> None:
    """Each weakness of the room has its own line, and none keeps the bot from running."""
    room = await stage.room_with_checker(encrypted=False, preset="public_chat")
    await stage.moderator.set_state(room, "m.room.guest_access", {"guest_access": "can_join"})
    await stage.moderator.set_state(room, "m.room.history_visibility", {"history_visibility": "world_readable"})
    levels = await stage.moderator.state(room, "m.room.power_levels") or {}
    await stage.moderator.set_state(room, "m.room.power_levels", {**levels, "users_default": 50})
    code, output = await look(admin_room=room)
    assert code == 0, output
    for text in (
        "isn't encrypted",
        "join rule is “public”",
        "Guests can join",
        "Anyone on the internet can read",
        "default power level is 50, moderators.power_level is 50",
    ):
        line(output, "!", text)


async def test_a_sound_admin_room_has_no_warnings(stage: Stage, look: Check) -> None:
    """An encrypted room by invitation gets none of these lines; lifted rate limits are seen too."""
    room = await stage.room_with_checker()
    path = f"v1/users/{stage.checker.user_id}/override_ratelimit"
    _, output = await look(admin_room=room)
    line(output, "!", "messages are rate-limited")
    await stage.admin("POST", path, json={"messages_per_second": 0, "burst_count": 0})
    try:
        code, output = await look(admin_room=room)
    finally:
        await stage.admin("DELETE", path)
    assert code == 0
    assert not [each for each in output.splitlines() if each.startswith("!")], output


async def test_an_identity_that_is_not_the_bots(stage: Stage) -> None:
    """Where the homeserver shows another identity than the one kept, `check` says what happened and what to do."""
    seeds = stage.bot.data_dir / "cross_signing.json"
    away = seeds.rename(stage.bot.directory / "away.json")
    try:
        code, output = await stage.bot.command("check")
    finally:
        away.rename(seeds)
    assert code == 0
    assert "backup" in line(output, "!", "identity for the bot's account that isn't the one in data_dir")


async def test_warnings_of_the_settings(stage: Stage, look: Check) -> None:
    """What stands in the settings and deserves a word is said here as well."""
    room = await stage.room_with_checker()
    code, output = await look(admin_room=room, self_service={"grace_period": "0s"}, moderators={"allow_remote": True})
    assert code == 0
    line(output, "!", "self_service.grace_period is 0s")
    line(output, "!", "moderators.allow_remote is true")


async def test_too_many_log_ins(fresh_homeserver: Callable[..., Awaitable[Homeserver]]) -> None:
    """Checked again and again before the bot ever ran, on a server with its own limits: it isn't said to be
    unreachable, but how long to wait, and why."""
    homeserver = await fresh_homeserver(real_rate_limits=True)
    await homeserver.register("lethe", "a long password", True)
    bot = Lethe(homeserver.base_url, "@lethe:lethe.test", "a long password", "!any:lethe.test")
    try:
        for _ in range(12):
            code, output = await bot.command("check")
            assert code == 1
            if "its rate limit" in output:
                break
        found = line(output, "✗", "takes no further log-in or request for")
        assert "Until the bot has run once, each check logs in" in found
    finally:
        await bot.close()
