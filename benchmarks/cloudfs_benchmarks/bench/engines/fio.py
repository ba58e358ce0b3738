"""Running fio for one trial, and what its JSON says."""

from __future__ import annotations

import errno
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from cloudfs_benchmarks.bench.engines.bins import bin_of
from cloudfs_benchmarks.bench.engines.failures import failure_line, shortened_line, task_of
from cloudfs_benchmarks.bench.engines.fio_jobs import job_texts
from cloudfs_benchmarks.bench.engines.job import Job, Outcome, Shape
from cloudfs_benchmarks.bench.engines.supervised import Ended, run_engine
from cloudfs_benchmarks.bench.errors import TargetError
from cloudfs_benchmarks.bench.results import Latency
from cloudfs_benchmarks.demo.processes import Children

_NAME = "job"
_JSON = re.compile(r"^\{$", re.MULTILINE)
_CODE = re.compile(r"err=(\d+)/")
_FILES = (
    re.compile(r"io_u error on file (.+): [^:]+: (?:read|write|sync|datasync) "),
    re.compile(r"func=open\((.+)\), error="),
)
_LINK = re.compile(r"target-\d+/")
_WHOLE = frozenset({Shape.SEQUENTIAL, Shape.SMALL})
# What fio says of a read that returned nothing; it takes it for an I/O error.
_NOTHING_READ = "full resid"


def run_fio(children: Children, location: str, job: Job) -> Outcome:
    """Do one trial on a mounted directory.

    Its seconds are those of the reader that took longest, each from its first open; fio measures
    them in milliseconds. `TargetError` when the target fails, and before anything is written when a
    file that is to be created is there already.
    """
    writes = job.shape is Shape.WRITE
    if writes:
        _check_absent(location, job)
    with tempfile.TemporaryDirectory(prefix="fio-", dir=children.logs) as folder:
        for name, text in job_texts(_NAME, location, job).items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        options = ["--output-format=json+", *([] if writes else ["--readonly"]), f"{_NAME}.fio"]
        ended = run_engine(
            children,
            "fio",
            # It has its lists, links and the output of its preparations where it is started.
            ["sh", "-c", 'cd "$0" && exec "$@"', folder, "fio", *options],
            limit_s=job.time_limit_s,
            task=task_of(location, job),
        )
    report = _report(ended.output)
    if ended.status != 0 or report is None or report["jobs"][0]["error"]:
        raise TargetError(_explain(location, job, ended))
    outcome = _outcome(job, report)
    if job.shape in _WHOLE:
        _check_complete(location, job, outcome)
    return outcome


def _check_complete(location: str, job: Job, outcome: Outcome) -> None:
    """fio reads as much as it finds, and passes over a file that is missing."""
    if job.sizes and outcome.bytes == sum(map(sum, job.sizes)):
        return
    changed = _changed_file(location, job)
    if changed or job.sizes:
        raise TargetError(changed or f"{location}: files changed during the run")


def _check_absent(location: str, job: Job) -> None:
    """fio would write over them."""
    for path in (path for hand in job.files for path in hand):
        if os.path.lexists(f"{location}/{path}"):
            raise TargetError(failure_line(location, path, errno.EEXIST))


def _report(output: str) -> dict[str, Any] | None:
    """The JSON among the lines that fio prints."""
    start = _JSON.search(output)
    if start is None:
        return None
    report: dict[str, Any] = json.JSONDecoder().raw_decode(output, start.start())[0]
    return report if report.get("jobs") else None


def _outcome(job: Job, report: dict[str, Any]) -> Outcome:
    done = report["jobs"][0]
    side = done["write" if job.shape is Shape.WRITE else "read"]
    cpu_percent = done["usr_cpu"] + done["sys_cpu"]
    return Outcome(
        engine=report["fio version"].replace("-", " ", 1),
        bytes=side["io_bytes"],
        operations=side["total_ios"],
        files=sum(len(hand) for hand in job.files),
        seconds=max(side["runtime"], 1) / 1e3,
        cpu_s=cpu_percent / 100 * done["job_runtime"] / 1e3,
        latency=_latency(side["lat_ns"]),
    )


def _latency(figures: dict[str, Any]) -> Latency | None:
    """fio's percentiles, and its bins put into those of `statistics`, which are wider."""
    if not figures["N"]:
        return None
    counts: dict[float, int] = {}
    for nanoseconds, count in figures["bins"].items():
        bound = bin_of(int(nanoseconds) / 1e3)
        counts[bound] = counts.get(bound, 0) + count
    most = figures["max"] / 1e3
    p50, p95, p99 = (min(figures["percentile"][f"{p}.000000"] / 1e3, most) for p in (50, 95, 99))
    return Latency(p50, p95, p99, most, tuple(sorted(counts.items())))


def _explain(location: str, job: Job, ended: Ended) -> str:
    """One line: fio's errno and file, or what is wrong with the files where it names none."""
    said = f"{ended.messages}\n{ended.output}"
    path = _named_file(location, said)
    codes = [int(code) for code in _CODE.findall(said)]
    # ENOENT: fio cuts long lines, and then names no file.
    if codes and (path or codes[0] not in (errno.EINVAL, errno.EIO, errno.ENOENT)):
        return failure_line(location, path, codes[0])
    changed = _changed_file(location, job)
    if changed:
        return changed
    if _NOTHING_READ not in said and codes:
        return failure_line(location, path, codes[0])
    lines = [line for line in ended.messages.splitlines() if line.strip()]
    return f"{task_of(location, job)}: {lines[0] if lines else f'status {ended.status} of fio'}"


def _named_file(location: str, said: str) -> str:
    for pattern in _FILES:
        if found := pattern.search(said):
            return _LINK.sub("", found[1].removeprefix(f"{location}/"), count=1)
    return ""


def _changed_file(location: str, job: Job) -> str:
    """The first file that is not what the job says, in one line; "" when all are."""
    for reader, hand in enumerate(job.files):
        for index, path in enumerate(hand):
            try:
                size = os.stat(f"{location}/{path}").st_size
            except OSError as error:
                return failure_line(location, path, error.errno or errno.EIO)
            if job.sizes and size < job.sizes[reader][index]:
                return shortened_line(location, path)
            if job.shape is not Shape.WRITE and not job.sizes and size < job.block:
                return f"{location}/{path} is smaller than one block of {job.block} bytes"
    return ""
