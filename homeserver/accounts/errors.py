"""The meaning of some errors of the admin API that have no error code of their own, only a message."""

from __future__ import annotations

from homeserver.client.api import BadAnswer, HomeserverError, Refused, ServerFault


class MovedElsewhere(Refused):
    """Somebody else keeps the accounts by now. Nothing was done: it would have been the wrong door."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, 409)


class OnlyInMas(BadAnswer):
    """MAS has an account that the homeserver doesn't have: it is being made, or something is amiss."""

    def __init__(self, user_id: str) -> None:
        super().__init__(f"MAS has the account {user_id}, and the homeserver doesn't (yet)")
        self.user_id = user_id


class SeveralOwners(Refused):
    """More than one account has an address, so nobody can tell whose it is. The address isn't in here."""

    def __init__(self) -> None:
        super().__init__("more than one account in MAS has that e-mail address", 409)


def identity_server_failed(error: HomeserverError) -> bool:
    """Whether this error, of `deactivate` or `remove_threepids`, is an identity server's that couldn't be reached.

    Nothing was deactivated then, and trying again changes nothing while that server is away. Synapse says so in words
    only: 400 "Failed to remove threepid from ID server", 500 "Failed to remove threepids".
    """
    return isinstance(error, Refused | ServerFault) and "Failed to remove threepid" in error.message


def already_redacting(error: HomeserverError) -> bool:
    """Whether `redact` was refused because a redaction of this account is under way. Synapse says so in words only."""
    return isinstance(error, Refused) and "Redact already in progress" in error.message
