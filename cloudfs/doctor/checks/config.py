"""Whether the files and variables that the options come from can be relied on.

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
    """Look at who may change the files, and for variables that mean nothing."""
    origins = context.resolution.origins.values()
    files = dict.fromkeys(origin.rpartition(": ")[0] for origin in origins if origin[:1] == "/")
    found = partial(_found, [Path(name) for name in files], context.environ)
    return await trio.to_thread.run_sync(found, abandon_on_cancel=True)


def _found(files: list[Path], environ: Mapping[str, str]) -> list[Finding]:
    doubts = list(_doubts(files, environ))
    if doubts:
        return doubts
    if not files:
        return [skipped("no file is used")]
    names = [str(path) for path in files]
    return [ok(f"{', '.join(names)} can be changed by its owner alone", files=names)]


def _doubts(files: list[Path], environ: Mapping[str, str]) -> Iterator[Finding]:
    for path in files:
        for line in check_file(path).warnings:
            problem, _, fix = line.rpartition(": ")
            yield warning(problem, fix, files=[str(path)])
    for name, hint in unknown_variables(environ):
        yield warning(f"the variable {name} is ignored: no option is called so", hint)
