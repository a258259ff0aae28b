"""The texts of the commands on a bot that was set up, in its language."""

from __future__ import annotations

from pathlib import Path

from cli.opening import Unusable
from config import Settings
from texts import Texts, UnknownLanguage


def texts_of(path: Path, settings: Settings) -> Texts:
    """The sentences in the language that the settings name. Args: path: of the settings.

    Raises:
        Unusable: there is no such language.
    """
    try:
        return Texts(settings.language, settings.command_prefix)
    except UnknownLanguage as error:
        raise Unusable(path, [str(error)]) from None
