"""The checks in their order: each needs those that would make it fail for the same reason."""

from __future__ import annotations

from typing import Final

from cloudfs.doctor.examination import Check
from cloudfs.doctor.network_checks import clock, reach
from cloudfs.doctor.read_checks import byte_path, read, versions
from cloudfs.doctor.setup_check import setup
from cloudfs.doctor.store_checks import features, identity, listing, region

STORE_CHECKS: Final = (
    Check("setup", setup),
    Check("reach", reach, frozenset({"setup"}), limit_s=20.0),
    Check("clock", clock, frozenset({"reach"})),
    Check("identity", identity, frozenset({"reach"}), limit_s=15.0, vital=False),
    Check("list", listing, frozenset({"identity"}), limit_s=15.0),
    Check("read", read, frozenset({"list"}), limit_s=15.0),
    Check("versions", versions, frozenset({"read"})),
    Check("bytes", byte_path, frozenset({"read"}), vital=False),
    Check("region", region, frozenset({"list"}), vital=False),
    Check("features", features, frozenset({"list"}), vital=False),
)
