"""How Azure Blob Storage speaks: /ACCOUNT/CONTAINER/BLOB, and listings with markers."""

from __future__ import annotations

from email.utils import format_datetime
from xml.sax.saxutils import escape

from cloudfs_benchmarks.servers.dialect import Answer, Dialect, Question, Refusal
from cloudfs_benchmarks.servers.listing import Entry, Names, Page

ACCOUNT = "benchmarks"
_VERSION = "2023-11-03"
# A range may be asked for under a name of Azure's own.
_LOCATIONS = """\
    location = /<account> { <ask> }
    location = /<account>/ { <ask> }
    location = /<account>/<bucket> { <ask> }
    location / {
      access_by_lua_block {
        <sleep>
        local range = ngx.var.http_x_ms_range
        if range then ngx.req.set_header("Range", range) end
      }
      add_header x-ms-version <version> always;
      add_header x-ms-request-id $request_id always;
      add_header x-ms-blob-type BlockBlob;
      rewrite ^/<account>/(.+)$ /$1 break;
      <send>
    }
""".replace("<account>", ACCOUNT).replace("<version>", _VERSION)
_PROPERTIES = (
    "<Content-Type>application/octet-stream</Content-Type><Content-Encoding /><Content-Language />"
    "<Content-CRC64 /><Content-MD5 /><Cache-Control /><Content-Disposition />"
    "<BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier>"
    "<AccessTierInferred>true</AccessTierInferred><LeaseStatus>unlocked</LeaseStatus>"
    "<LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted>"
)
_HEADERS = {"x-ms-version": _VERSION, "x-ms-request-id": "0"}


def answer(question: Question, names: Names) -> Answer:
    """A listing of the container, or what is known of the container or the account."""
    query = question.query
    if query.get("restype") == "account":
        kind = {"x-ms-sku-name": "Standard_LRS", "x-ms-account-kind": "StorageV2"}
        return Answer(headers=_HEADERS | kind | {"x-ms-is-hns-enabled": "false"})
    if query.get("comp") == "list":
        page = question.page(names, limit="maxresults", token="marker")
        return Answer(render(page, question), headers=_HEADERS)
    container = {"ETag": '"0x1"', "Last-Modified": "Thu, 01 Jan 1970 00:00:00 GMT"}
    return Answer(headers=_HEADERS | container)


def render(page: Page, question: Question) -> str:
    """Return the XML of a page: blobs and prefixes in the order of their names."""
    named = [(entry.key, _blob(entry)) for entry in page.entries]
    named += [
        (prefix, f"<BlobPrefix><Name>{escape(prefix)}</Name></BlobPrefix>")
        for prefix in page.prefixes
    ]
    blobs = "".join(element for _, element in sorted(named, key=lambda one: one[0].encode()))
    asked = "".join(
        f"<{element}>{escape(question.query[name])}</{element}>"
        for element, name in (("Prefix", "prefix"), ("Delimiter", "delimiter"))
        if question.query.get(name)
    )
    return (
        f'<EnumerationResults ContainerName="{question.bucket}">{asked}<Blobs>{blobs}</Blobs>'
        f"<NextMarker>{page.token}</NextMarker></EnumerationResults>"
    )


def _blob(entry: Entry) -> str:
    """All that Azure sends, for the time that a client takes to read a listing."""
    modified = format_datetime(entry.modified, usegmt=True)
    return (
        f"<Blob><Name>{escape(entry.key)}</Name><Properties>"
        f"<Creation-Time>{modified}</Creation-Time><Last-Modified>{modified}</Last-Modified>"
        f"<Etag>{entry.etag}</Etag><Content-Length>{entry.size}</Content-Length>"
        f"{_PROPERTIES}</Properties><Metadata /><OrMetadata /></Blob>"
    )


AZURE = Dialect(
    name="az",
    locations=_LOCATIONS,
    refusals={
        404: Refusal(404, "BlobNotFound"),
        412: Refusal(412, "ConditionNotMet"),
        416: Refusal(416, "InvalidRange"),
    },
    answer=answer,
    error_header="x-ms-error-code",
)
