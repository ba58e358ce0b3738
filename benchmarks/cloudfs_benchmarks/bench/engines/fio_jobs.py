"""fio job files, for a run and for whoever wants to repeat it by hand. Pure: nothing is touched."""

from __future__ import annotations

import shlex
import string
from collections.abc import Iterator

from cloudfs_benchmarks.bench.engines.job import Job, Shape
from cloudfs_benchmarks.bench.engines.order import in_order

SHAPES = frozenset({Shape.SEQUENTIAL, Shape.RANDOM, Shape.SMALL, Shape.WRITE})
"""What fio can do; it neither walks folders nor counts opens."""

# In a job file `;` and `#` begin a comment and `$` a variable, wherever they stand.
_UNSPEAKABLE = frozenset(";#$\\" + string.whitespace) - {" "}
# A name in a replayed list ends at white space and has a buffer of 256 bytes.
_REPLAY_LONGEST = 240

_ALWAYS = """\
[global]
; Plain pread(2) and pwrite(2) through the page cache, as training code reads.
ioengine=psync
direct=0
; Caches are as they were found: whoever starts this has emptied or filled them, and proven it.
invalidate=0
; No posix_fadvise(2): the kernel finds out itself what is read sequentially, as it does for numpy.
fadvise_hint=0
; A reader is a thread, so that all of them end with the process.
thread=1
group_reporting=1
; No looking after the disk in between; no ramp_time and no time_based: every byte once.
disk_util=0
lat_percentiles=1
clat_percentiles=0
percentile_list=50:95:99
"""

_READING = """\
; Nothing is created: a missing file is an error.
allow_file_create=0
"""

_SEQUENTIAL = """\
; One file after the other, each from its start to its end.
rw=read
openfiles=1
file_service_type=sequential
; fio looks the files up before its clock starts, and opens them after.
"""

_RANDOM = """\
; Random places, of the files in turn, no block twice; every reader has places of its own. fio reads
; whole blocks only. (With file_service_type=random it tries for ever to open what it cannot open.)
rw=randread
norandommap=0
file_service_type=roundrobin
; fio looks the files up before its clock starts, and opens them after.
"""

_REPLAY = """\
; Each reader replays a list: open a file, read it to its end, close it, open the next. fio looks up
; (stat) all files of its lists before its clock starts, which would take the first half of every
; open out of the measurement. Hence the lists have the files below a symbolic link that leads
; nowhere until exec_prerun, which is after that and before the clock.
rw=read
"""

_WRITE = """\
; New files, created, filled and fsynced while the clock runs.
rw=write
create_on_open=1
fallocate=none
end_fsync=1
openfiles=1
file_service_type=sequential
; New random bytes in every block: nothing that could be compressed or found to be a copy.
refill_buffers=1
unlink=0
"""


def replays(job: Job) -> bool:
    """Whether fio is told every single read.

    It opens all files ahead of time or skips what is less than a block otherwise.
    """
    if job.shape is Shape.SEQUENTIAL:
        return any(size % job.block for hand in job.sizes for size in hand)
    return job.shape is Shape.SMALL


def obstacle(location: str, job: Job) -> str:
    """Why fio cannot do a job that is of one of its shapes; "" when it can."""
    paths = [path for hand in job.files for path in hand]
    if replays(job):
        if not job.sizes:
            return "fio replays files only when their sizes are known"
        if not all(any(hand) for hand in job.sizes):
            return "fio cannot replay files that are all empty"
        if not _speakable(location) or not all(map(_replayable, paths)):
            return "fio's lists cannot hold such file names"
    elif not all(_speakable(f"{location}/{path}") for path in paths):
        return "fio's job files cannot hold such file names"
    if job.shape is Shape.WRITE and job.size % job.block:
        return "fio writes whole blocks only"
    return ""


def job_texts(name: str, location: str, job: Job) -> dict[str, str]:
    """`NAME.fio` and the lists that it replays, by file name; they belong into one folder."""
    texts = {f"{name}.fio": job_file(location, job, name)}
    if replays(job):
        for reader in range(job.readers):
            texts[_list_name(name, reader)] = _list(job, reader)
    return texts


def job_file(location: str, job: Job, name: str = "job") -> str:
    """The job file; `name` is what it and its lists are called."""
    readonly = "" if job.shape is Shape.WRITE else "--readonly "
    return "\n".join(
        [
            f"; One trial of `cloudfs bench`: {job.shape}, {job.readers} reader(s). To repeat it,",
            "; in a folder with nothing but this file and those that came with it:",
            f";   fio {readonly}--output-format=json+ {name}.fio",
            _ALWAYS + "".join(_shape_lines(job)),
            *(
                line
                for reader in range(job.readers)
                for line in _section(location, job, name, reader)
            ),
            "",
        ]
    )


def link_name(reader: int) -> str:
    """The symbolic link to the target through which a reader replays its list."""
    return f"target-{reader + 1}"


def _shape_lines(job: Job) -> Iterator[str]:
    if replays(job):
        yield _REPLAY + _READING
        return
    yield {Shape.SEQUENTIAL: _SEQUENTIAL, Shape.RANDOM: _RANDOM, Shape.WRITE: _WRITE}[job.shape]
    yield f"bs={job.block}\nrandseed={job.seed}\n"
    if job.shape is Shape.WRITE:
        yield f"filesize={job.size}\n"
        return
    if job.shape is Shape.RANDOM and job.operations:
        yield f"number_ios={job.operations}\n"
    yield _READING


def _section(location: str, job: Job, name: str, reader: int) -> Iterator[str]:
    yield f"[reader-{reader + 1}]"
    if replays(job):
        yield f"read_iolog={_list_name(name, reader)}"
        yield f"exec_prerun=ln -sT {shlex.quote(location)} {link_name(reader)}"
        yield f"exec_postrun=rm {link_name(reader)}"
        return
    for path in job.files[reader]:
        # A line each: a line holds 8 KiB at most, and fio adds them up.
        yield "filename=" + f"{location}/{path}".replace(":", "\\:")


def _list_name(name: str, reader: int) -> str:
    return f"{name}-reader-{reader + 1}.iolog"


def _list(job: Job, reader: int) -> str:
    files = [(f"{link_name(reader)}/{path}", size or 0) for path, size in in_order(job, reader)]
    lines = ["fio version 2 iolog", *(f"{path} add" for path, _ in files)]
    for path, size in files:
        lines.append(f"{path} open")
        for start in range(0, size, job.block):
            lines.append(f"{path} read {start} {min(job.block, size - start)}")
        lines.append(f"{path} close")
    return "\n".join([*lines, ""])


def _speakable(path: str) -> bool:
    return path == path.strip() and _UNSPEAKABLE.isdisjoint(path) and _encodes(path)


def _replayable(path: str) -> bool:
    return (
        set(string.whitespace).isdisjoint(path)
        and _encodes(path)
        and len(path.encode()) <= _REPLAY_LONGEST
    )


def _encodes(path: str) -> bool:
    """Whether a name is text; those that are not stand as lone surrogates."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
