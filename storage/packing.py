"""Stored values that come by the thousand, made small: requests of a wave resemble each other almost word for word."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

# Never changed once released: what was packed with it can only be read with it. A better one gets another mark.
_ALIKE_1 = (
    b'"displayname": null, "created_ts": 1700000000000, "last_seen_ts": 1700000000000, "devices": 0, "rooms": 0, '
    b'"threepids": [], "sso_providers": [], "media": 0, "admin": false, "deactivated": false, "erased": false, '
    b'"suspended": false, "locked": false, "guest": false, "appservice": false, "only_admin_in": null}, "reason": "", '
    b'"questions": [], "at_ts": null, "confirmer_id": "@", "confirmed_ts": 1700000000000, "confirmation_event_id": "$",'
    b' "confirmer_trust": "signed", "approver_id": null, "due_ts": null, "reminded_ts": null, "started_ts": '
    b'1700000000000, "ended_ts": 1700000000000, "steps": [{"step": "suspend", "state": "done", "attempts": 1, '
    b'"started_ts": 1700000000000, "ended_ts": 1700000000000, "unsure": false, "unsure_ts": null, "answer": '
    b'{"suspended": true}, "failure": null, "cause": ""}, {"step": "snapshot", "state": "done", "attempts": 1, '
    b'"answer": {"rooms": ["!"], "room_count": 0, "devices": 0, "threepids": "", "media": 0}, {"step": "threepids", '
    b'"answer": {"threepids": 0}, {"step": "deactivate", "answer": {"erase": true, "id_server_unbind_result": '
    b'"success"}, {"step": "wait", "answer": {"rooms": 0, "repairs": 0}, {"step": "media", "answer": {"deleted": 0}, '
    b'{"step": "release", "answer": {"suspended": false}, {"step": "verify", "answer": {"proofs": {"deactivated": '
    b'true, "no_threepids": true, "no_devices": true, "no_pushers": true, "no_rooms": true, "no_account_data": true, '
    b'"erased": true, "no_displayname": true, "no_profile": true, "not_suspended": true}}, "failure": null, "cause": '
    b'""}], "retry_ts": null, "open_said": false, "ends_as": null, "ended_by": null, "ended_because": "", "wave_id": 1,'
    b' "version": 0, "kind": "moderation", "requester_id": "@", "target_id": "@", "room_id": "!", "command_event_id": '
    b'"$", "created_ts": 1700000000000, "expires_ts": 1700000000000, "state": "running", "options": {"erase": true, '
    b'"redact": false, "media": "keep", "forget_sso": false, "handover": []}, "rules": {"confirmed_by": '
    b'"any_moderator", "expires_after_ms": 600000, "needs_other": false, "by_reply": false, "needs_matrix_id": false, '
    b'"needs_approval": false, "grace_ms": 0}'
)


_ALIKE_2 = (
    b'{"id": "kind": "moderation", "requester_id": "@", "target_id": "@", "room_id": "!", "command_event_id": "$", '
    b'"created_ts": 1800000000000, "expires_ts": 1800000000000, "thread_root": "", "from_page": false, '
    b'"state": "done", "options": {"erase": true, "redact": false, "media": "keep", "forget_sso": false, '
    b'"handover": [], "clear_marks": false, "aim": "remove", "rooms": [], "since_ts": null}, '
    b'"rules": {"confirmed_by": "any_moderator", "expires_after_ms": 600000, "needs_other": false, "by_reply": false, '
    b'"needs_matrix_id": false, "proved_by": "chat", "needs_approval": false, "grace_ms": 0, '
    b'"wait_for_reminder": true}, "facts": {"displayname": "spam, "created_ts": 1800000000000, '
    b'"last_seen_ts": 1800000000000, "devices": 0, "rooms": 1, "threepids": [], "sso_providers": [], "media": 0, '
    b'"admin": false, "deactivated": false, "half_deactivated": false, "erased": false, "suspended": false, '
    b'"locked": false, "shadow_banned": false, "guest": false, "appservice": false, "only_admin_in": null}, '
    b'"reason": "", "questions": [], "at_ts": null, "confirmer_id": "@", "confirmed_ts": 1800000000000, '
    b'"confirmation_event_id": "$", "confirmer_trust": "clear", "approver_id": null, "due_ts": null, '
    b'"reminded_ts": null, "started_ts": 1800000000000, "ended_ts": 1800000000000, "steps": [{"step": "suspend", '
    b'"state": "done", "attempts": 1, "started_ts": 1800000000000, "ended_ts": 1800000000000, "unsure": false, '
    b'"unsure_ts": null, "answer": {"suspended": true}, "failure": null, "cause": ""}, {"step": "snapshot", '
    b'"state": "done", "attempts": 1, "started_ts": 1800000000000, "ended_ts": 1800000000000, "unsure": false, '
    b'"unsure_ts": null, "answer": {"room_count": 1, "threepids": ""}, "failure": null, "cause": ""}, '
    b'{"step": "threepids", "state": "done", "attempts": 1, "started_ts": 1800000000000, "ended_ts": 1800000000000, '
    b'"unsure": false, "unsure_ts": null, "answer": {"threepids": 0}, "failure": null, "cause": ""}, '
    b'{"step": "deactivate", "state": "done", "attempts": 1, "started_ts": 1800000000000, "ended_ts": 1800000000000, '
    b'"unsure": false, "unsure_ts": null, "answer": {"erase": true, "id_server_unbind_result": "success"}, '
    b'"failure": null, "cause": ""}, {"step": "wait", "state": "done", "attempts": 1, "started_ts": 1800000000000, '
    b'"ended_ts": 1800000000000, "unsure": false, "unsure_ts": null, "answer": {"rooms": 0, "repairs": 0}, '
    b'"failure": null, "cause": ""}, {"step": "release", "state": "done", "attempts": 1, "started_ts": 1800000000000, '
    b'"ended_ts": 1800000000000, "unsure": false, "unsure_ts": null, "answer": {"suspended": false}, "failure": null, '
    b'"cause": ""}, {"step": "verify", "state": "done", "attempts": 1, "started_ts": 1800000000000, '
    b'"ended_ts": 1800000000000, "unsure": false, "unsure_ts": null, "answer": {"proofs": {"deactivated": true, '
    b'"no_threepids": true, "no_devices": true, "no_pushers": true, "no_rooms": true, "no_invites": true, '
    b'"no_account_data": true, "erased": true, "no_displayname": true, "no_profile": true, "not_suspended": true}, '
    b'"left_over": []}, "failure": null, "cause": ""}], "retry_ts": null, "open_said": false, "ends_as": null, '
    b'"ended_by": null, "ended_because": "", "wave_id": 1, "version": 9}'
)
_ALIKE = {"z1:": _ALIKE_1, "z2:": _ALIKE_2}
_MARK = "z2:"
"""With which is packed; what has another one is read."""


def pack(value: dict[str, Any]) -> str:
    """A JSON object as a short text."""
    squeeze = zlib.compressobj(6, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, _ALIKE[_MARK])
    data = squeeze.compress(json.dumps(value).encode()) + squeeze.flush()
    return _MARK + base64.b85encode(data).decode()


def unpack(text: str) -> dict[str, Any]:
    """The object that `pack`, or `json.dumps`, was given."""
    mark = text[: len(_MARK)]
    if mark in _ALIKE:
        data = base64.b85decode(text[len(_MARK) :])
        text = zlib.decompressobj(-15, _ALIKE[mark]).decompress(data).decode()
    found: dict[str, Any] = json.loads(text)
    return found
