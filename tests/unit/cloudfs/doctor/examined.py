"""Runs all checks on a store, in this process, and gives what they found by their names."""

from __future__ import annotations

import os
from typing import Final

from cloudfs.config.settings import resolve
from cloudfs.doctor.checks.registry import STORE_CHECKS
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, Result
from cloudfs.doctor.runner import run_checks

Findings = dict[str, Finding]

UNKNOWN_DOMAIN: Final = "too-long." * 30 + "test"
"""No host can be called so: no name server is asked."""


async def findings_of(url: str, **flags: str) -> Findings:
    """Examine `url` with these options, as text, and the environment of this process.

    What moves many bytes is left out.
    """
    context = Context(resolve(url, None, flags=flags, required=("url",)), os.environ, quick=True)
    examined = await run_checks(context, STORE_CHECKS, lambda _: None)
    assert [one.check for one in examined] == [check.name for check in STORE_CHECKS]
    return {one.check: one.finding for one in examined}


def unwell(found: Findings) -> dict[str, Result]:
    """Return the checks that are neither ok nor skipped."""
    fine = {Result.OK, Result.SKIPPED}
    return {name: finding.result for name, finding in found.items() if finding.result not in fine}
