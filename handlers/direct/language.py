"""`!language` in a direct message: in which language the bot speaks to this person, there and in every reminder."""

from __future__ import annotations

from handlers.context import Context, DirectCommand
from storage import people
from texts import Template, language_called, languages


async def choose(context: Context, asked: DirectCommand) -> None:
    """Changes the language, or says which there are."""
    typed = asked.parsed.text("language") or ""
    chosen = language_called(typed)
    async with context.units.begin(asked.event) as unit:
        if chosen is not None:
            await people.choose_language(unit.tx, asked.by, chosen)
        known = languages()
        await unit.messages.reply(asked.event, Template.OWN_LANGUAGE, typed=typed, chosen=chosen, known=known)
