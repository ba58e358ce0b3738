"""How much of one path is local, for whoever needs just the two numbers."""

from __future__ import annotations

from cloudfs.policy import PathPolicies
from cloudfs.steering.parts import Cache
from cloudfs.steering.survey import Survey
from cloudfs_backends.api import ObjectStore


async def count_local(
    store: ObjectStore, cache: Cache, policies: PathPolicies, path: str
) -> tuple[int, int]:
    """Return the local bytes and all bytes at and below a path; "" is the root."""
    survey = Survey(store, cache, policies, [path])
    await survey.run()
    (count,) = survey.progress().paths
    return count.local_bytes, count.bytes
