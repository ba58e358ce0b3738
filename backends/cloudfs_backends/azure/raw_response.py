"""Raw responses of Azure's SDK, taken from it before it parses them.

Its parsing takes three quarters of the time of a listing, and holds a whole read in memory.
Requests, credentials and error responses remain with the SDK.
"""

from __future__ import annotations

from collections.abc import Callable

from azure.core.pipeline import PipelineResponse
from azure.core.rest import HttpRequest, HttpResponse


class _RawResponse(Exception):  # noqa: N818 - not an error
    """Carries a response out of the SDK, which does not catch it."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__()
        self.response = response


def raw_response(request: Callable[[Callable[..., None]], object]) -> HttpResponse:
    """Return the response of `request`, which has to pass its argument to the SDK as the hook.

    Raises the SDK's exceptions for error responses.
    """
    try:
        request(_raise_response)
    except _RawResponse as raised:
        return raised.response
    raise AssertionError("the SDK finished a request without calling the hook")


def _raise_response(response: PipelineResponse[HttpRequest, HttpResponse]) -> None:
    """End the SDK's processing of a success; the SDK calls this for each response."""
    if response.http_response.status_code < 300:
        raise _RawResponse(response.http_response)
