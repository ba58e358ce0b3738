"""`python -m cloudfs_benchmarks.readpath.ceiling JOB`: what the store and link give at best.

Parallel ranged GETs with obstore, thrown away as they arrive; JOB is JSON. Prints the seconds that
each number of connections took, in the order asked for.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TypeAlias

import obstore
from obstore.store import S3Store

from cloudfs_benchmarks.interpreter import python

Piece: TypeAlias = tuple[str, int, int]
"""Key, first byte, end."""

_CHUNK_BYTES = 1 << 20
_WARM_UP_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Job:
    """Read `objects` (key, size in bytes) in ranges of `range_bytes`, once per number in
    `connections`."""

    endpoint: str
    bucket: str
    objects: list[tuple[str, int]]
    range_bytes: int
    connections: list[int]

    def command(self) -> list[str]:
        """The command that does it."""
        module = "cloudfs_benchmarks.readpath.ceiling"
        return python("-m", module, json.dumps(asdict(self)))


def ranges(job: Job) -> Iterator[Piece]:
    """Yield (key, start, stop) of every request, in order."""
    for key, size in job.objects:
        for start in range(0, size, job.range_bytes):
            yield key, start, min(size, start + job.range_bytes)


def measure(job: Job) -> list[float]:
    """Seconds per number of connections, after a warm-up of connections and memory."""
    store = S3Store(
        job.bucket,
        endpoint=job.endpoint,
        region="us-east-1",
        skip_signature=True,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )

    def get(piece: Piece) -> None:
        key, start, stop = piece
        answer = obstore.get(store, key, options={"range": (start, stop)})
        for _ in answer.stream(min_chunk_size=_CHUNK_BYTES):
            pass

    pieces = list(ranges(job))
    few = pieces[: max(1, _WARM_UP_BYTES // job.range_bytes)]
    _timed(get, few, max(job.connections))
    return [_timed(get, pieces, count) for count in job.connections]


def _timed(get: Callable[[Piece], None], pieces: list[Piece], connections: int) -> float:
    with ThreadPoolExecutor(connections) as pool:
        started = time.perf_counter()
        # Consumed, so that the error of a request is raised.
        for _ in pool.map(get, pieces):
            pass
        return time.perf_counter() - started


def main() -> None:
    """Run the job of the command line."""
    job = json.loads(sys.argv[1])
    json.dump(measure(Job(**job)), sys.stdout)


if __name__ == "__main__":
    main()
