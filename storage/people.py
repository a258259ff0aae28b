"""What people chose for themselves: the language in which the bot speaks to them."""

from __future__ import annotations

from storage.database import Transaction


async def language_of(tx: Transaction, user_id: str) -> str | None:
    """The language that a person chose, as its catalogue is called; None where they chose none."""
    row = await tx.one("SELECT language FROM people WHERE user_id = ?", user_id)
    return str(row["language"]) if row else None


async def choose_language(tx: Transaction, user_id: str, language: str, *, unless_chosen: bool = False) -> None:
    """A person wants this language from now on.

    Args:
        unless_chosen: only where they chose none before.
    """
    then = "NOTHING" if unless_chosen else "UPDATE SET language = excluded.language"
    await tx.run(
        f"INSERT INTO people (user_id, language) VALUES (?, ?) ON CONFLICT (user_id) DO {then}",  # noqa: S608 - ours
        user_id,
        language,
    )


async def forget(tx: Transaction, user_id: str) -> None:
    """The person is gone."""
    await tx.run("DELETE FROM people WHERE user_id = ?", user_id)
