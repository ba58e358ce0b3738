"""The check of configuration files and variables: who may change them, which have no effect.

What a mount would refuse has been refused before any check is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import trio

from cloudfs.config.check import check_file
from cloudfs.config.sources import unknown_variables
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, ok, skipped, warning


async def config(context: Context) -> list[Finding]:
    """Find files that other users may change, and unknown variables."""
    origins = context.resolution.origins.values()
    files = dict.fromkeys(origin.rpartition(": ")[0] for origin in origins if origin[:1] == "/")
    examine = partial(_examine, [Path(name) for name in files], context.environ)
    return await trio.to_thread.run_sync(examine, abandon_on_cancel=True)


def _examine(files: list[Path], environ: Mapping[str, str]) -> list[Finding]:
    warnings = list(_warnings(files, environ))
    if warnings:
        return warnings
    if not files:
        return [skipped("no file is used")]
    names = [str(path) for path in files]
    return [ok(f"{', '.join(names)} can be changed by its owner alone", files=names)]


def _warnings(files: list[Path], environ: Mapping[str, str]) -> Iterator[Finding]:
    for path in files:
        for line in check_file(path).warnings:
            problem, _, fix = line.rpartition(": ")
            yield warning(problem, fix, files=[str(path)])
    for name, hint in unknown_variables(environ):
        yield warning(f"the variable {name} is ignored: no option is called so", hint)
