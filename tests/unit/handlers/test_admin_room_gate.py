"""Who is heard in the admin room, and what the others read: played on the model of a homeserver."""

from __future__ import annotations

from removal.audit_action import AuditAction
from tests.support.simulated import GUEST, Life, simulated


@simulated()
async def test_somebody_who_is_no_moderator_is_refused(life: Life) -> None:
    """They read why, and the audit has their attempt."""
    (said,) = await life.say("!requests", by=GUEST)
    assert "only moderators" in said
    (refused,) = [row for row in await life.audited() if row.action == AuditAction.COMMAND_REFUSED]
    assert refused.actor == GUEST
