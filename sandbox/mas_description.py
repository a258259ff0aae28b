"""Holds requests and answers of MAS's admin API against the OpenAPI description that MAS publishes.

The description isn't kept here: it is MAS's, under MAS's licence. It is looked for beside the project, in
`../shared/mas-openapi.json`, or where the environment variable MAS_OPENAPI says; MAS has it in `docs/api/spec.json`.
"""

from __future__ import annotations

import json
import os
import warnings
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from openapi_core import OpenAPI
from openapi_core.testing import MockRequest, MockResponse

from sandbox.synapse_process import PROJECT_ROOT

PATH = Path(os.environ.get("MAS_OPENAPI", PROJECT_ROOT.parent / "shared" / "mas-openapi.json"))


@cache
def _read() -> tuple[OpenAPI, dict[str, Any]]:
    description = json.loads(PATH.read_text("utf-8"))
    description["servers"] = [{"url": "/"}]  # theirs has a null where OpenAPI wants text
    return OpenAPI.from_dict(description), description["paths"]


class Exchange:
    """One request to the admin API, and its answer."""

    def __init__(self, method: str, path: str, query: str, body: bytes) -> None:
        self.shown = f"{method} {path}"
        self._query = dict(parse_qsl(query))
        self._request = MockRequest(
            "http://mas",
            method.lower(),
            path,
            args=self._query,
            headers={"Authorization": "Bearer x"},
            data=body or None,
            content_type="application/json",
        )

    def problem_of_request(self) -> str:
        """What the description has against the request; empty where nothing."""
        api, paths = _read()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of the scheme that it doesn't know
            problem = next(_problems(lambda: api.validate_request(self._request)), "")
        declared = {
            parameter["name"]
            for path, methods in paths.items()
            if path.count("/") == self._request.path.count("/")
            for parameter in methods.get(self._request.method, {}).get("parameters", ())
        }
        strange = sorted(set(self._query) - declared)
        return problem or (f"{self.shown}: unknown parameters {strange}" if strange else "")

    def problem_of_answer(self, status: int, body: bytes) -> str:
        """What the description has against the answer; empty where nothing. 401 and 5xx are everywhere."""
        if status == 401 or status >= 500:
            return ""
        api, _ = _read()
        answer = MockResponse(body, status_code=status, content_type="application/json")
        return next(_problems(lambda: api.validate_response(self._request, answer)), "")


def _problems(validate: Any) -> Any:
    try:
        validate()
    except Exception as error:  # openapi-core has no common base for what it finds
        yield f"{type(error).__name__}: {error} {error.__cause__ or ''}"[:600]
