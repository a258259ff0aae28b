"""The bot is addressed by name, as people address bots: `Lethe: !deactivate @x`, `@lethe help`, a pill and the command.

Only a name at the very beginning is an address. What follows has to name a command, or nearly; otherwise it's talk.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from handlers.called import Called
from handlers.command_set import Commands
from handlers.context import Context, DirectCommand, ModeratorCommand
from handlers.message import Message, read
from removal.incoming import Incoming

CommandT = TypeVar("CommandT", ModeratorCommand, DirectCommand)

LOOKED_AT = 12
"""Words at the beginning of a message among which a command may stand behind a name: names may have several words."""


async def hear(context: Context, commands: Commands[CommandT], event: Incoming) -> Message | None:
    """Reads a message: its command, where it has one, with or without the bot's name in front.

    Returns:
        None where nobody wrote a text.

    Raises:
        HomeserverError: the bot's display name can't be read, and the message may begin with it.
    """
    prefix, texts = context.settings.command_prefix, context.units.texts
    called: Called = context.called
    message = read(event.content, prefix, called)
    if message is not None and message.command is None and _may_follow_a_name(message, prefix, commands, context):
        name = await context.authority.display_name(event.room_id)
        if name:
            message = read(event.content, prefix, replace(called, names=(*called.names, name)))
    if message is None or not message.bare or commands.means(message.command or "", texts):
        return message
    return message.as_talk()


def _may_follow_a_name(message: Message, prefix: str, commands: Commands[CommandT], context: Context) -> bool:
    """Whether a command stands behind the first word, so that it's worth asking what the bot is called here."""
    for word in message.words[1:LOOKED_AT]:
        text = word.text.lower()
        if text.startswith(prefix.lower()) or commands.means(text.rstrip("!?.,:"), context.units.texts):
            return True
    return False
