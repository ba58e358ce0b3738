"""A FUSE mount that never answers, as a hung daemon leaves it.

`python -m tests.cli.fake_daemon MOUNTPOINT MODE`. The control socket is served in mode `serving`,
with the real commands over a small dataset in memory; `stalled` is like it, and its store answers
no GET; `mute` accepts there and says nothing; `silent` has none; `lingering` is like serving and
outlives its mount until stdin is closed; `deaf` does so even when it is told to end by SIGTERM.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trio

from cloudfs.admin import commands
from cloudfs.admin.jobs import Jobs
from cloudfs.config.path_policy import PathPolicies, PolicyTable
from cloudfs.control import server
from cloudfs_cache.api import BLOCK_BYTES
from tests.support.memory_store import MemoryStore, Stall
from tests.unit.cloudfs.admin.simple_cache import SimpleCache, SimpleNames

SOURCE = b"s3://bucket/pre fix"
FILES = 40


def dataset(mode: str) -> MemoryStore:
    """A folder of files of one block, one of which is called like a terminal escape."""
    store = MemoryStore(os.fsdecode(SOURCE))
    for number in range(FILES):
        store.put(f"train/{number:02}.h5", bytes(BLOCK_BYTES))
    store.put("notes \x1b[31m.txt", b"read me")
    store.put("checkpoints/last.pt", bytes(BLOCK_BYTES))
    if mode == "stalled":
        store.script("get", *[Stall() for _ in range(100)])
    return store


def mount(path: str) -> int:
    """Mount without a FUSE library and return the device's descriptor."""
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(SOURCE, os.fsencode(path), b"fuse.cloudfs", 0, options):
        raise OSError(ctypes.get_errno(), "mount")
    return device


def wait_until_unmounted(device: int) -> None:
    """Take requests without answering them; the kernel ends it with ENODEV."""
    try:
        while os.read(device, 1 << 20):
            pass
    except OSError:
        return


_asked = itertools.count()


def document() -> dict[str, Any]:
    """A document of schema 3 with something to say in every part, a moment after the one before."""
    passed_s = next(_asked) / 1000
    fast, slow = [0] * 17, [0] * 17
    fast[2], slow[5], slow[16] = 10, 90, 10
    return {
        "schema": 3,
        "version": "1.2.3",
        "time": 1_700_000_303.0 + passed_s,
        "url": os.fsdecode(SOURCE),
        "mountpoint": sys.argv[1],
        "pid": os.getpid(),
        "uptime_s": 303.0 + passed_s,
        "read_only": True,
        "health": "degraded",
        "health_reasons": ["cache directory /my_ssd is bypassed: no answer within 3 s"],
        "options": {
            "metadata_ttl": float("inf"),
            "umask": 0o022,
            "region": None,
            "cache_dirs": ["/ssd:10GiB", "/ssd2"],
            "policies": [],
            "log_file": "/var/log/my.log",
        },
        "now": {
            "window_s": 10.0,
            "read_bytes_per_s": float(3 << 20),
            "received_bytes_per_s": float(1 << 20),
            "fuse_requests_per_s": 1234.5,
            "store_requests_per_s": 0.25,
            "hit_ratio": 0.6666,
        },
        "hit_ratio": 0.75,
        "histogram_bounds_s": [
            *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1),
            *(0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
        ],
        "fuse": {
            "operations": {
                "read": {
                    "requests": 10,
                    "errors": 2,
                    "seconds": 0.02,
                    "errnos": {"EIO": 2},
                    "durations": fast,
                }
            },
            "read_bytes": 4 << 20,
            "inflight": 1,
        },
        "waiting": [
            {"operation": "read", "name": "a\x1b[31m.h5", "waited_s": 12.0, "for": "store"}
        ],
        "waiting_count": 1,
        "sources": {"memory_bytes": 1 << 20, "disk_bytes": 2 << 20, "store_bytes": 1 << 20},
        "memory": {"capacity_bytes": 1 << 30, "used_bytes": 512 << 20, "hits": 7},
        "disks": {
            "/my_ssd": {
                "directory": "/my_ssd",
                "state": "bypassed",
                "reason": "no answer within 3 s",
                "used_bytes": 5 << 20,
                "capacity_bytes": 10 << 20,
                "free_bytes": 1 << 30,
                "evictions": 3,
                "errors": 0,
            }
        },
        "populate": {"waiting_blocks": 1, "waiting_bytes": 1 << 20},
        "catalog": {"state": "late"},
        "store": {
            "backend": "s3",
            "received_bytes": 8 << 20,
            "errors": 2,
            "operations": {
                "head": {"requests": 0, "errors": 0, "retries": 0},
                "get": {
                    "requests": 100,
                    "errors": 2,
                    "retries": 1,
                    "seconds": 3.0,
                    "errors_by_kind": {"throttled": 2},
                    "durations": slow,
                    "first_byte": fast,
                },
            },
        },
        "cost": {
            "currency": "USD",
            "requests_usd": 0.5,
            "egress_usd": 1.0,
            "total_usd": 1.5,
            "basis": "these prices",
            "prices_of": "2025-06",
        },
        "prefetch": {
            "issued_bytes": 4 << 20,
            "used_bytes": 3 << 20,
            "wasted_bytes": 0,
            "queued": 2,
        },
        "jobs": [
            {
                "job": "1a2b",
                "kind": "warmup",
                "elapsed_s": 5.0,
                "bytes_done": 1 << 20,
                "bytes_total": 2 << 20,
            }
        ],
        "hidden_names": 1,
        "metrics_address": "127.0.0.1:9467",
        "last_errors": [
            {
                "time": 1_700_000_300.0,
                "operation": "read",
                "name": "a\x1b[31m.h5",
                "errno": "EIO",
                "cause": "SlowDown; HTTP 503",
                "advice": "lower --max-downloads",
                "count": 2,
            }
        ],
    }


async def serve(path: Path) -> None:
    async def status(_arguments: Mapping[str, object]) -> Mapping[str, object]:
        return document()

    store = dataset(sys.argv[2])
    cache = SimpleCache(store)
    cache.corrupt.add("train/07.h5")
    policies = PathPolicies([PolicyTable("checkpoints/**", cache=False)])
    async with trio.open_nursery() as nursery:
        admin = commands.handlers(store, cache, policies, SimpleNames(), Jobs(nursery))
        handlers = {"status": status, **admin}
        await nursery.start(
            lambda task_status: server.serve(path, handlers, task_status=task_status)
        )
        say_ready()


def say_ready() -> None:
    os.write(1, b"ready\n")


def main() -> None:
    device = mount(sys.argv[1])
    mode = sys.argv[2]
    if mode == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    path = server.socket_path(Path(sys.argv[1]))
    if mode in {"serving", "stalled", "lingering", "deaf"}:
        threading.Thread(target=trio.run, args=(serve, path), daemon=True).start()
    else:
        if mode == "mute":
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(str(path))
            listening.listen()
        say_ready()
    wait_until_unmounted(device)
    if mode in {"lingering", "deaf"}:
        os.read(0, 1)
    os._exit(0)


if __name__ == "__main__":
    main()
