"""What the dialects share: how a question about names is put, and what each has to say.

Objects themselves are nginx's business. A dialect is two halves that must agree: what nginx is told
about objects, and what the metadata server answers about everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cloudfs_benchmarks.servers.listing import LIMIT_MAX, Names, Page

XML = "application/xml"
JSON = "application/json; charset=UTF-8"


@dataclass(frozen=True, slots=True)
class Question:
    """A request. `path` is percent-encoded as it came, `query` is decoded."""

    path: str
    query: Mapping[str, str]
    bucket: str

    def page(self, names: Names, *, limit: str, token: str) -> Page:
        """The page that is asked for; `limit` and `token` are what the dialect calls these."""
        return names.page(
            prefix=self.query.get("prefix", ""),
            delimiter=self.query.get("delimiter", ""),
            limit=int(self.query.get(limit) or LIMIT_MAX),
            token=self.query.get(token, ""),
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose body is text."""

    body: str = ""
    content_type: str = XML
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a client is told: a status and the cloud's code for it."""

    status: int
    code: str


@dataclass(frozen=True, slots=True)
class Dialect:
    """One cloud's way to speak.

    `locations` is nginx configuration in which `<ask>` hands the request to the metadata server,
    `<send>` sends the file whose URI is /BUCKET/KEY at the rate of the link, `<delay>` waits for
    the link, as `<sleep>` does in Lua, and `<bucket>` is its name. `refusals` say what the client
    is told for each status that nginx would refuse with; `error_header` repeats the code, "" for
    none.
    """

    name: str
    locations: str
    refusals: Mapping[int, Refusal]
    answer: Callable[[Question, Names], Answer]
    error_header: str = ""
