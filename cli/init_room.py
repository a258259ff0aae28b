"""The admin room that `init` makes or takes, and who is invited there."""

from __future__ import annotations

import json
from collections.abc import Sequence

from cli.init_answers import Answers, Unanswered
from cli.init_lines import CannotGoOn, Lines, Mark
from config import Settings
from homeserver.accounts.provisioning import other_admins
from homeserver.accounts.synapse import Synapse
from homeserver.client.api import Api, Forbidden, Refused
from homeserver.client.credentials import write_private
from homeserver.client.rooms import Rooms
from homeserver.client.setting_up import FOUNDER_LEVEL, find_admin_room, invite, make_admin_room, raise_power
from removal.ids import UserID

PENDING_ROOM = "!not-made-yet"
"""Stands in the settings while there is no admin room."""


class AdminRoomSetUp:
    """Makes the room once, and finds it again.

    Args:
        api: with the bot's token.
    """

    def __init__(self, api: Api, settings: Settings, answers: Answers, lines: Lines) -> None:
        self._api = api
        self._settings = settings
        self._answers = answers
        self._options = answers.options
        self._lines = lines

    async def set_up(self) -> None:
        """Makes or takes the room, writes it into the settings where they lack it, and invites the moderators.

        Raises:
            CannotGoOn: somebody has to mend something.
            Unanswered: nobody is named who could command the bot.
            HomeserverError: it didn't work; another run goes on.
        """
        room, made = self._settings.admin_room, False
        if room == PENDING_ROOM:
            room = self._options.admin_room or ""
        if room:
            await self._join(room)
        else:
            found = await find_admin_room(self._api, self._settings.homeserver.user_id)
            made = found is None
            room = found or await self._make()
        if not made:
            self._lines.say(Mark.ALREADY, "room_there", room=room)
        if self._settings.admin_room == PENDING_ROOM:
            path = self._options.config
            write_private(path, f"{path.read_text('utf-8').rstrip()}\nadmin_room: {json.dumps(room)}\n")
            self._lines.say(Mark.DONE, "config_room", path=str(path))
        if self._options.moderator and not made:
            await self._invite(room, self._moderators(None))

    def _moderators(self, proposed: str | None) -> tuple[str, ...]:
        return self._answers.moderators(self._settings.homeserver.server_name, proposed)

    async def _proposed(self) -> str | None:
        """Whoever installs this. Where an earlier run made the account, nobody logs in as an admin any more: then it is
        the only server admin beside the bot, and only a person is asked, who sees the name before it gets the power."""
        admin: str | None = self._options.admin
        if admin is not None or not self._answers.may_ask:
            return admin
        others = await other_admins(self._api, self._settings.homeserver.user_id)
        return others[0] if len(others) == 1 else None

    async def _named(self) -> tuple[str, ...]:
        """The moderators, who all exist; on a terminal, asked again until they do."""
        proposed = await self._proposed()
        while True:
            try:
                moderators = self._moderators(proposed)
                if not moderators:
                    raise Unanswered("Who commands the bot? Give them with --moderator.")
                await self._must_exist(moderators)
            except (Unanswered, CannotGoOn) as error:
                if not self._answers.may_ask or self._options.moderator:
                    raise
                if isinstance(error, Unanswered):
                    self._lines.say(Mark.FAILED, "unanswered", error=str(error))
            else:
                return moderators

    async def _make(self) -> str:
        moderators = await self._named()
        name, topic = self._lines.word("room_name"), self._lines.word("room_topic")
        made = await make_admin_room(self._api, self._settings.homeserver.user_id, name, topic, moderators)
        self._lines.say(Mark.DONE, "room_made", room=made, users=moderators)
        return made

    async def _must_exist(self, users: Sequence[str]) -> None:
        """A moderator's name with a typing mistake would get the power, and whoever takes that name later with it."""
        for each in users:
            local = UserID.parse(each).server_name == self._settings.homeserver.server_name
            if local and await Synapse(self._api).user(each) is None:
                raise self._lines.stop("no_such_user", user=each)

    async def _join(self, room: str) -> None:
        """Accepts an invitation to a room that is named; one that it is in already stays."""
        room_id = await self._room_id(room)
        try:
            await self._api.call("POST", "/_matrix/client/v3/rooms/{}/join", room_id, json={}, timeout=60.0)
        except Refused:
            raise self._lines.stop("room_not_in", room=room, user=self._settings.homeserver.user_id) from None

    async def _room_id(self, room: str) -> str:
        room_id = await Rooms(self._api).resolve_alias(room) if room.startswith("#") else room
        if room_id is None:
            raise self._lines.stop("room_unknown", room=room)
        return room_id

    async def _invite(self, room: str, users: Sequence[str]) -> None:
        """Invites who isn't there yet, and gives a moderator's power to who hasn't got it."""
        await self._must_exist(users)
        room_id = await self._room_id(room)
        state = await Rooms(self._api).state(room_id)
        level = self._settings.moderators.power_level
        for each in users:
            try:
                if state.power(each) < level:
                    await raise_power(self._api, room_id, each, min(level, FOUNDER_LEVEL))
                    self._lines.say(Mark.DONE, "power_given", user=each, level=level)
                if state.membership(each) in ("join", "invite"):
                    self._lines.say(Mark.ALREADY, "invited", user=each)
                else:
                    await invite(self._api, room_id, each)
                    self._lines.say(Mark.DONE, "invited", user=each)
            except Forbidden as error:
                self._lines.say(Mark.NOTE, "cannot_invite", user=each, error=str(error))
