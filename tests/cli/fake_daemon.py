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
from pathlib import Path

import trio
from msgspec.structs import replace

from cloudfs.admin import commands
from cloudfs.admin.jobs import Jobs
from cloudfs.config.path_policy import PathPolicies, PolicyTable
from cloudfs.control import server, sockets
from cloudfs.control.protocol import NoArguments
from cloudfs.control.server import Route
from cloudfs.status.document import STATUS, StatusDocument
from cloudfs_cache.api import BLOCK_BYTES
from tests.support.memory_store import MemoryStore, Stall
from tests.support.status_documents import document
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


async def status(_: NoArguments) -> StatusDocument:
    """Return a document of a moment after the one before."""
    passed_s = next(_asked) / 1000
    example = document(url=os.fsdecode(SOURCE), mountpoint=sys.argv[1], pid=os.getpid())
    return replace(example, time=example.time + passed_s, uptime_s=example.uptime_s + passed_s)


async def serve(path: Path) -> None:
    store = dataset(sys.argv[2])
    cache = SimpleCache(store)
    cache.corrupt.add("train/07.h5")
    policies = PathPolicies([PolicyTable("checkpoints/**", cache=False)])
    async with trio.open_nursery() as nursery:
        admin = commands.routes(store, cache, policies, SimpleNames(), Jobs(nursery))
        routes = [Route(STATUS, status), *admin]
        await nursery.start(lambda task_status: server.serve(path, routes, task_status=task_status))
        say_ready()


def say_ready() -> None:
    os.write(1, b"ready\n")


def main() -> None:
    device = mount(sys.argv[1])
    mode = sys.argv[2]
    if mode == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    path = sockets.socket_path(Path(sys.argv[1]))
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
