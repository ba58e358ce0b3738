"""The mtimes of rclone, s3fs, gcsfuse and gcloud, to the last digit."""

from __future__ import annotations

import pytest

from cloudfs_backends.common.mtime import metadata_mtime_ns

SECOND_NS = 1_000_000_000


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"mtime": "1700000000"}, 1_700_000_000 * SECOND_NS),
        ({"Mtime": " 1700000000.5 "}, 1_700_000_000_500_000_000),
        ({"mtime": "1700000000.123456789"}, 1_700_000_000_123_456_789),
        ({"mtime": "1700000000.1234567899"}, 1_700_000_000_123_456_789),
        ({"mtime": "0"}, 0),
        ({"mtime": "-1.25"}, -1_250_000_000),
        ({"mtime": "1700000000."}, 1_700_000_000 * SECOND_NS),
        ({"mtime": "2023-11-14T22:13:20Z"}, 1_700_000_000 * SECOND_NS),
        ({"mtime": "2023-11-14T22:13:20.123456789Z"}, 1_700_000_000_123_456_789),
        ({"mtime": "2023-11-15T00:13:20+02:00"}, 1_700_000_000 * SECOND_NS),
        ({"mtime": "2023-11-14T17:13:20.5-05:00"}, 1_700_000_000_500_000_000),
        ({"gcsfuse_mtime": "2023-11-14T22:13:20.000000001Z"}, 1_700_000_000_000_000_001),
        ({"mtime": "bad", "gcsfuse_mtime": "1970-01-01T00:00:01Z"}, SECOND_NS),
        ({"goog-reserved-file-mtime": "1700000000"}, 1_700_000_000 * SECOND_NS),
        (
            {"goog-reserved-file-mtime": "1", "mtime": "2023-11-14T22:13:20.5Z"},
            1_700_000_000_500_000_000,
        ),
        ({"goog-reserved-file-mtime": "1", "gcsfuse_mtime": "1970-01-01T00:00:02Z"}, 2 * SECOND_NS),
        ({"mtime": "1e9"}, None),
        ({"mtime": "nan"}, None),
        ({"mtime": ""}, None),
        ({"mtime": "1.5.5"}, None),
        ({"mtime": "١٧"}, None),
        ({"mtime": "99999999999"}, None),
        ({"mtime": "999999999999999"}, None),
        ({"mtime": "2023-02-29T00:00:00Z"}, None),
        ({"mtime": "2023-13-01T00:00:00Z"}, None),
        ({"mtime": "2023-11-14T25:00:00Z"}, None),
        ({"mtime": "0000-01-01T00:00:00Z"}, None),
        ({"mtime": "2023-11-14T22:13:20"}, None),
        ({"other": "1700000000"}, None),
        ({}, None),
    ],
)
def test_mtime(metadata: dict[str, str], expected: int | None) -> None:
    assert metadata_mtime_ns(metadata) == expected
