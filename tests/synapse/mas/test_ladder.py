"""The rungs below a removal, where accounts live in MAS: the very same tests."""

from tests.synapse.admin_room.test_ladder import (
    test_a_deactivated_account_and_one_at_work,
    test_a_first_day,
    test_locking_ends_no_session,
    test_logging_out_everywhere,
    test_looking,
    test_suspending_and_back,
    test_the_same_people_are_protected,
)

__all__ = [
    "test_a_deactivated_account_and_one_at_work",
    "test_a_first_day",
    "test_locking_ends_no_session",
    "test_logging_out_everywhere",
    "test_looking",
    "test_suspending_and_back",
    "test_the_same_people_are_protected",
]
