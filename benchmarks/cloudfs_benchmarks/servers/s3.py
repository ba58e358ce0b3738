"""How S3 speaks: LIST version 2, the bucket's location, and objects under /BUCKET/KEY."""

from __future__ import annotations

from urllib.parse import quote
from xml.sax.saxutils import escape

from cloudfs_benchmarks.servers.dialect import Answer, Dialect, Question, Refusal
from cloudfs_benchmarks.servers.listing import LIMIT_MAX, Names, Page

_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_LOCATIONS = """\
    location = /<bucket> { <ask> }
    location = /<bucket>/ { <ask> }
    location / { <delay> <send> }
"""


def answer(question: Question, names: Names) -> Answer:
    """LIST, or the bucket's location."""
    if "location" in question.query:
        return Answer(f"<LocationConstraint {_NAMESPACE}/>")
    page = question.page(names, limit="max-keys", token="continuation-token")
    return Answer(render(page, question))


def render(page: Page, question: Question) -> str:
    """Return the XML of a page; keys are URL-encoded if the query asks for that."""
    query = question.query
    encoded = query.get("encoding-type") == "url"
    spell = quote if encoded else escape
    contents = "".join(
        f"<Contents><Key>{spell(entry.key)}</Key>"
        f"<LastModified>{entry.modified:%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"
        f"<ETag>&quot;{entry.etag}&quot;</ETag><Size>{entry.size}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for entry in page.entries
    )
    common = "".join(
        f"<CommonPrefixes><Prefix>{spell(prefix)}</Prefix></CommonPrefixes>"
        for prefix in page.prefixes
    )
    token = f"<NextContinuationToken>{page.token}</NextContinuationToken>" if page.token else ""
    return (
        f"<ListBucketResult {_NAMESPACE}><Name>{question.bucket}</Name>"
        f"<Prefix>{spell(query.get('prefix', ''))}</Prefix>"
        f"<KeyCount>{len(page.entries) + len(page.prefixes)}</KeyCount>"
        f"<MaxKeys>{query.get('max-keys', LIMIT_MAX)}</MaxKeys>"
        + ("<EncodingType>url</EncodingType>" if encoded else "")
        + f"<IsTruncated>{'true' if page.token else 'false'}</IsTruncated>"
        f"{token}{contents}{common}</ListBucketResult>"
    )


S3 = Dialect(
    name="s3",
    locations=_LOCATIONS,
    refusals={
        404: Refusal(404, "NoSuchKey"),
        412: Refusal(412, "PreconditionFailed"),
        416: Refusal(416, "InvalidRange"),
    },
    answer=answer,
)
