"""How Google Cloud Storage speaks: the JSON interface for names, the XML interface for bytes.

A read names a generation, which nginx does not know: it is turned into the ETag that has the same
meaning. A version that is gone is not found where it is part of the address (`generation`), and a
failed condition where it is one (`ifGenerationMatch`, which the JSON interface has).
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from cloudfs_benchmarks.servers.dialect import JSON, Answer, Dialect, Question, Refusal
from cloudfs_benchmarks.servers.listing import Entry, Names

_READ = """\
      access_by_lua_block {
        <sleep>
        local wanted = ngx.var.wanted
        if wanted ~= "" then
          local mtime, size = wanted:match("^(%d+)(" .. ("%d"):rep(12) .. ")$")
          if not mtime then return ngx.exit(404) end
          ngx.req.set_header("If-Match",
            string.format('"%x-%x"', tonumber(mtime), tonumber(size)))
        end
      }
      header_filter_by_lua_block {
        local mtime, size = (ngx.header.ETag or ""):match('^"(%x+)-(%x+)"$')
        if mtime then
          ngx.header["x-goog-generation"] =
            string.format("%d%012d", tonumber(mtime, 16), tonumber(size, 16))
        end
      }
      <send>
"""

_LOCATIONS = """\
    location /storage/ { <ask> }
    location / {
      set $wanted $arg_generation;
<read>    }
    location /download/ {
      set $wanted $arg_ifGenerationMatch;
      rewrite ^/download/storage/v1/b/([^/]+)/o/(.+)$ /$1/$2 break;
<read>      error_page 404 = @404;
      error_page 412 = @failed;
      error_page 416 = @416;
    }
    location @failed { keepalive_timeout 0; return 412 "conditionNotMet"; }
""".replace("<read>", _READ)

_LAYOUT: dict[str, Any] = {
    "kind": "storage#storageLayout",
    "location": "LOCAL",
    "locationType": "region",
    "hierarchicalNamespace": {"enabled": False},
}


def answer(question: Question, names: Names) -> Answer:
    """What kind of bucket it is, a listing of it, or what is known of an object."""
    bucket = f"/storage/v1/b/{question.bucket}"
    if question.path == f"{bucket}/storageLayout":
        return _json(_LAYOUT)
    if question.path == f"{bucket}/o":
        return _list(question, names)
    start = f"{bucket}/o/"
    entry = None
    if question.path.startswith(start):
        entry = names.find(unquote(question.path.removeprefix(start)))
    if entry is None:
        return _json({"error": {"code": 404, "message": "Not Found"}}, status=404)
    return _json(_object(entry))


def _list(question: Question, names: Names) -> Answer:
    page = question.page(names, limit="maxResults", token="pageToken")
    found: dict[str, Any] = {"kind": "storage#objects"}
    if page.entries:
        found["items"] = [_object(entry) for entry in page.entries]
    if page.prefixes:
        found["prefixes"] = page.prefixes
    if page.token:
        found["nextPageToken"] = page.token
    return _json(found)


def _object(entry: Entry) -> dict[str, str]:
    """The fields that cloudfs asks for; 64-bit numbers are text, as in Google's answers."""
    return {
        "name": entry.key,
        "generation": entry.generation,
        "size": str(entry.size),
        "updated": f"{entry.modified:%Y-%m-%dT%H:%M:%S.000Z}",
    }


def _json(document: dict[str, Any], status: int = 200) -> Answer:
    return Answer(json.dumps(document), JSON, status)


GCS = Dialect(
    name="gs",
    locations=_LOCATIONS,
    refusals={
        404: Refusal(404, "NoSuchKey"),
        412: Refusal(404, "NoSuchKey"),
        416: Refusal(416, "InvalidRange"),
    },
    answer=answer,
)
