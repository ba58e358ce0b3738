"""Answers that Azure's SDK got, as they came over the wire, before it makes anything of them.

Its own way with them is long: three quarters of the time of a listing, and a whole read in memory.
Requests, credentials and refusals remain its business.
"""

from __future__ import annotations

from collections.abc import Callable

from azure.core.pipeline import PipelineResponse
from azure.core.rest import HttpRequest, HttpResponse


class _RawResponse(Exception):  # noqa: N818 - not an error
    """Carries an answer out of the SDK; no other code knows it, so none catches it."""

    def __init__(self, answer: HttpResponse) -> None:
        super().__init__()
        self.answer = answer


def raw_response(request: Callable[[Callable[..., None]], object]) -> HttpResponse:
    """Call `request` with the hook that it has to give the SDK, and return the answer.

    Raises what the SDK raises of a refusal.
    """
    try:
        request(_raise_response)
    except _RawResponse as answered:
        return answered.answer
    raise AssertionError("the SDK finished a request without showing the answer")


def _raise_response(response: PipelineResponse[HttpRequest, HttpResponse]) -> None:
    """Called by the SDK for each answer; refusals are left to it."""
    if response.http_response.status_code < 300:
        raise _RawResponse(response.http_response)
