"""The rungs that are asked first do on a server with MAS what they do elsewhere: the very same tests."""

from tests.synapse.admin_room.test_asked_rungs import (
    test_files,
    test_reactivating,
    test_redacting_leaves_the_account,
    test_what_makes_no_sense_is_refused,
)

__all__ = [
    "test_files",
    "test_reactivating",
    "test_redacting_leaves_the_account",
    "test_what_makes_no_sense_is_refused",
]
