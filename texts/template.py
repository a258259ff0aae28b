"""The templates, and the groups of words, by name."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal


class Template(StrEnum):
    """Each names a file in texts/en/, without its ending."""

    ALERT = "alert"
    ALERT_CLOSED = "alert_closed"
    ALERT_SAID = "alert_said"
    ALMOST_MATRIX_ID = "almost_matrix_id"
    ALREADY_OPEN = "already_open"
    ANOTHER_BOT = "another_bot"
    ANSWER_IN_WRITING = "answer_in_writing"
    APPROVAL = "approval"
    APPROVAL_GIVEN = "approval_given"
    AUDIT = "audit"
    BAD_OPTION = "bad_option"
    CARD = "card"
    CLEAR_TEXT = "clear_text"
    CLOCK = "clock"
    CLOSED = "closed"
    CLOSE_HOW = "close_how"
    CODE_SAID = "code_said"
    CONFIRMER_GONE = "confirmer_gone"
    DRY_RUN = "dry_run"
    EDITED = "edited"
    ERROR = "error"
    HANDOVER = "handover"
    HELP = "help"
    HELP_COMMAND = "help_command"
    IDENTITY = "identity"
    INFO = "info"
    MEMBERSHIPS = "memberships"
    MYDATA = "mydata"
    NOT_CHANGED = "not_changed"
    NOT_LOCAL = "not_local"
    NOT_MODERATOR = "not_moderator"
    NOT_YOURS = "not_yours"
    ONLY_MARK = "only_mark"
    OUTCOME = "outcome"
    OWN_CARD = "own_card"
    OWN_GREETING = "own_greeting"
    OWN_HELP = "own_help"
    OWN_HINT = "own_hint"
    OWN_HOW = "own_how"
    OWN_LANGUAGE = "own_language"
    OWN_NO_REQUEST = "own_no_request"
    OWN_NOT_ALONE = "own_not_alone"
    OWN_NOTICE = "own_notice"
    OWN_OUTCOME = "own_outcome"
    OWN_RECEIPT = "own_receipt"
    OWN_STATUS = "own_status"
    OWN_THIRD_PERSON = "own_third_person"
    OWN_UNKNOWN_COMMAND = "own_unknown_command"
    PROMPT_LEFT_BEHIND = "prompt_left_behind"
    PING = "ping"
    RECEIPT = "receipt"
    RECEIPT_MAIL = "receipt_mail"
    REFUSAL = "refusal"
    REFUSE_HOW = "refuse_how"
    REQUESTS = "requests"
    RETRYING = "retrying"
    RUNG = "rung"
    RUNG_PROBLEM = "rung_problem"
    SAID_IN_THREAD = "said_in_thread"
    SHARED_ROOM = "shared_room"
    STATUS = "status"
    UNKNOWN_COMMAND = "unknown_command"
    UNKNOWN_REFERENCE = "unknown_reference"
    UNREADABLE = "unreadable"
    UNTRUSTED_DEVICE = "untrusted_device"
    UPGRADE = "upgrade"
    USAGE_ERROR = "usage_error"
    VERSION = "version"
    WATCH = "watch"
    WAVE_CARD = "wave_card"
    WAVE_LIST = "wave_list"
    WAVE_MEMBER = "wave_member"
    WAVE_SAID = "wave_said"


class Page(StrEnum):
    """The pages for browsers. Each names a file in texts/en/page/, without its ending."""

    CONFIRM = "confirm"
    LINK = "link"
    LOG_IN = "log_in"
    OPTIONS = "options"
    PROBLEM = "problem"
    START = "start"
    STATUS = "status"
    WAIT = "wait"


Group = Literal[
    "accept",
    "aim",
    "aim_done",
    "aim_failed",
    "aim_stays",
    "aim_undo",
    "alarm",
    "audit",
    "audit_action",
    "changed",
    "check",
    "check_remedy",
    "command",
    "declined",
    "details",
    "handover_problem",
    "init",
    "mail",
    "media",
    "not_changed",
    "option",
    "option_problem",
    "own_command",
    "own_details",
    "own_option",
    "own_question",
    "own_room",
    "own_wish",
    "page_problem",
    "page_status",
    "problem",
    "proof",
    "refusal",
    "remedy",
    "reset_totp",
    "result",
    "rung",
    "rung_problem",
    "state",
    "step",
    "step_name",
    "step_state",
    "threepid",
    "topic",
    "trouble",
]
"""Each names a file in texts/en/words/, without its ending: the words for the values of one enumeration."""
