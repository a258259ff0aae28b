"""A module for Synapse that forbids to leave rooms: the deactivation succeeds, and the account stays where it is.

Source: https://element-hq.github.io/synapse/latest/modules/third_party_rules_callbacks.html
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Stay:
    """Forbids every leaving for as long as a file exists.

    Args:
        config: `{"file": path}`.
        api: Synapse's ModuleApi.
    """

    def __init__(self, config: dict[str, Any], api: Any) -> None:
        self._file = Path(config["file"])
        api.register_third_party_rules_callbacks(check_event_allowed=self.check_event_allowed)

    @staticmethod
    def parse_config(config: dict[str, Any]) -> dict[str, Any]:
        """As it is."""
        return config

    async def check_event_allowed(self, event: Any, _state: Any) -> tuple[bool, None]:
        """Whether an event may be sent."""
        leaves = event.type == "m.room.member" and event.content.get("membership") == "leave"
        return not (leaves and self._file.exists()), None
