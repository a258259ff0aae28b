"""What holds on a plain Synapse holds on one whose accounts live in MAS: the very same tests."""

from tests.synapse.admin_room.test_main_job import (
    test_a_confirmed_command_deactivates_and_erases,
    test_a_declined_prompt_touches_nothing,
)
from tests.synapse.direct.test_deactivate import (
    test_confirming_by_an_encrypted_reply,
    test_without_the_matrix_id_a_tick_is_enough,
)
from tests.synapse.engine.test_steps import (
    test_a_dry_run_shows_the_plan_and_asks_nobody,
    test_a_profile_change_just_before_leaves_nobody_in_a_room,
    test_a_removal_with_every_option_leaves_nothing_that_it_promised_to_take,
    test_quarantine_keeps_the_files_out_of_reach,
    test_the_token_of_a_removed_account_is_dead,
)

__all__ = [
    "test_a_confirmed_command_deactivates_and_erases",
    "test_a_declined_prompt_touches_nothing",
    "test_a_dry_run_shows_the_plan_and_asks_nobody",
    "test_a_profile_change_just_before_leaves_nobody_in_a_room",
    "test_a_removal_with_every_option_leaves_nothing_that_it_promised_to_take",
    "test_confirming_by_an_encrypted_reply",
    "test_quarantine_keeps_the_files_out_of_reach",
    "test_the_token_of_a_removed_account_is_dead",
    "test_without_the_matrix_id_a_tick_is_enough",
]
