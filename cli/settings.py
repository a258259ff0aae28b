"""The settings as the command line needs them: read, and held to the commands that there are."""

from __future__ import annotations

from pathlib import Path

from config import Settings, load


def load_settings(path: Path) -> Settings:
    """Raises: config.ConfigError."""
    settings = load(path)
    if settings.roles:  # the commands take long to load, and only roles name any
        from handlers.admin_room.commands import for_admin_room
        from handlers.roles import check_commands

        check_commands(settings, [command.name for command in for_admin_room(settings.command_prefix).all])
    return settings
