"""The dialects that a folder is served in, all by one server."""

from __future__ import annotations

from cloudfs_benchmarks.servers.azure import AZURE
from cloudfs_benchmarks.servers.gcs import GCS
from cloudfs_benchmarks.servers.s3 import S3

DIALECTS = (S3, GCS, AZURE)
