"""The kinds of audit rows."""

from __future__ import annotations

from enum import StrEnum

from removal.lifecycle import Event


class AuditAction(StrEnum):
    """The kind of an audit row. Values are stored and hashed: none is ever renamed."""

    # What became of a request: the names of the events in removal.lifecycle.
    CONFIRMED = "Confirmed"
    DECLINED = "Declined"
    CANCELLED = "Cancelled"
    CONFIRMATION_WITHDRAWN = "ConfirmationWithdrawn"
    TARGET_CHANGED = "TargetChanged"
    REPLACED = "Replaced"
    ANSWERED = "Answered"
    HANDOVER_NAMED = "HandoverNamed"
    MATRIX_ID_TYPED = "MatrixIDTyped"
    CONFIRMED_BY_LOG_IN = "ConfirmedByLogIn"
    APPROVED = "Approved"
    APPROVAL_REFUSED = "ApprovalRefused"
    TIME_PASSED = "TimePassed"
    STEP_DONE = "StepDone"
    STEP_FAILED = "StepFailed"
    RETRY_ASKED = "RetryAsked"
    CLOSED = "Closed"
    STEP_STARTED = "StepStarted"
    # The same where it changed nothing.
    CONFIRMED_WITHOUT_EFFECT = "ConfirmedRefused"
    DECLINED_WITHOUT_EFFECT = "DeclinedRefused"
    CANCELLED_WITHOUT_EFFECT = "CancelledRefused"
    ANSWERED_WITHOUT_EFFECT = "AnsweredRefused"
    HANDOVER_NAMED_WITHOUT_EFFECT = "HandoverNamedRefused"
    MATRIX_ID_TYPED_WITHOUT_EFFECT = "MatrixIDTypedRefused"
    CONFIRMED_BY_LOG_IN_WITHOUT_EFFECT = "ConfirmedByLogInRefused"
    APPROVED_WITHOUT_EFFECT = "ApprovedRefused"
    APPROVAL_REFUSED_WITHOUT_EFFECT = "ApprovalRefusedRefused"
    RETRY_ASKED_WITHOUT_EFFECT = "RetryAskedRefused"
    CLOSED_WITHOUT_EFFECT = "ClosedRefused"
    CONFIRMATION_WITHDRAWN_WITHOUT_EFFECT = "ConfirmationWithdrawnRefused"
    TARGET_CHANGED_WITHOUT_EFFECT = "TargetChangedRefused"
    REPLACED_WITHOUT_EFFECT = "ReplacedRefused"
    TIME_PASSED_WITHOUT_EFFECT = "TimePassedRefused"
    STEP_STARTED_WITHOUT_EFFECT = "StepStartedRefused"
    STEP_DONE_WITHOUT_EFFECT = "StepDoneRefused"
    STEP_FAILED_WITHOUT_EFFECT = "StepFailedRefused"
    # All else.
    ACCOUNT_CHANGE_BEGUN = "AccountChangeBegun"
    ACCOUNT_CHANGED = "AccountChanged"
    ACCOUNT_CHANGE_FAILED = "AccountChangeFailed"
    ALERT_CLOSED = "AlertClosed"
    ALERT_SHOWN = "AlertShown"
    ADMIN_ROOM_ALARM = "AdminRoomAlarm"
    ADMIN_ROOM_FOLLOWED = "AdminRoomFollowed"
    ANOTHER_BOT_STARTED = "AnotherBotStarted"
    AUDIT_EXPORTED = "AuditExported"
    AUDIT_SHORTENED = "AuditShortened"
    CLOCKS_COMPARED = "ClocksCompared"
    CODE_ASKED = "CodeAsked"
    CODE_REFUSED = "CodeRefused"
    FACTOR_HANDED_OVER = "FactorHandedOver"
    FACTOR_RESET = "FactorReset"
    FACTOR_SET_UP = "FactorSetUp"
    COMMAND_REFUSED = "CommandRefused"
    CONVERSATION_OPENED = "ConversationOpened"
    CONVERSATION_STOPPED = "ConversationStopped"
    DATA_SENT = "DataSent"
    DRY_RUN = "DryRun"
    IDENTITY_ACCEPTED = "IdentityAccepted"
    IDENTITY_CHANGED = "IdentityChanged"
    IDENTITY_FIRST_SEEN = "IdentityFirstSeen"
    INCIDENT = "Incident"
    INVITE_ACCEPTED = "InviteAccepted"
    INVITE_DECLINED = "InviteDeclined"
    INVITE_LEFT_ALONE = "InviteLeftAlone"
    INVITE_VOID = "InviteVoid"
    LOOKED = "Looked"
    NOT_UNDERSTOOD = "NotUnderstood"
    PERSON_SOUGHT = "PersonSought"
    REACTION_REFUSED = "ReactionRefused"
    REFUSED = "Refused"
    REQUESTED = "Requested"
    WAVE_CHANGED = "WaveChanged"
    WAVE_OPENED = "WaveOpened"
    WAVE_UNCHANGED = "WaveUnchanged"
    UPGRADE_NOT_FOLLOWED = "UpgradeNotFollowed"


def of_change(event: Event) -> AuditAction:
    """The row of an event that changed a request."""
    return AuditAction(type(event).__name__)


def without_effect(event: Event) -> AuditAction:
    """The row of an event that changed nothing."""
    return AuditAction(f"{type(event).__name__}Refused")
