"""A module for Synapse that forbids deactivations: as a homeserver may have one to protect some accounts.

Source: https://element-hq.github.io/synapse/latest/modules/third_party_rules_callbacks.html
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Veto:
    """Forbids every deactivation for as long as a file exists.

    Args:
        config: `{"file": path}`.
        api: Synapse's ModuleApi.
    """

    def __init__(self, config: dict[str, Any], api: Any) -> None:
        self._file = Path(config["file"])
        api.register_third_party_rules_callbacks(check_can_deactivate_user=self.check_can_deactivate_user)

    @staticmethod
    def parse_config(config: dict[str, Any]) -> dict[str, Any]:
        """As it is."""
        return config

    async def check_can_deactivate_user(self, _user_id: str, _by_admin: bool) -> bool:
        """Whether an account may be deactivated."""
        return not self._file.exists()
