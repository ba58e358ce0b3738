"""The check of configuration files and variables: who may change them, which have no effect.

What a mount would refuse has been refused before any check is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import trio

from cloudfs.config.check import check_file
from cloudfs.config.sources import unknown_variables
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, ok, skipped, warning


async def config(context: Context) -> Sequence[Finding]:
    """Find a file that other users may change, and unknown variables."""
    examine = partial(_examine, context.resolution.config_file, context.environ)
    return await trio.to_thread.run_sync(examine, abandon_on_cancel=True)


def _examine(file: Path | None, environ: Mapping[str, str]) -> Sequence[Finding]:
    if warnings := list(_warnings(file, environ)):
        return warnings
    if file is None:
        return [skipped("no file is used")]
    return [ok(f"{file} can be changed by its owner alone", files=[str(file)])]


def _warnings(file: Path | None, environ: Mapping[str, str]) -> Iterator[Finding]:
    for line in () if file is None else check_file(file).warnings:
        problem, _, fix = line.rpartition(": ")
        yield warning(problem, fix, files=[str(file)])
    for name, hint in unknown_variables(environ):
        yield warning(f"the variable {name} is ignored: no option is called so", hint)
