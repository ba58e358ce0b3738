"""The demo's surroundings: one data set as a bucket, as an NFS export and as a local folder.

Each reader node has a link of its own to the bucket, as nodes have to an object store; the NFS
server has one link, as a server has. All links have the same rate. The bucket's answers begin after
the delay of a real store and come no faster than one of its connections; the NFS server's come at
once, which favours NFS.

    work/bucket/data    served by an nginx per node, each in a network namespace of its own
    work/export/data    hard links to the same files, exported by NFS-Ganesha from a namespace
    work/local/data     a copy
    work/mnt-N          the bucket, mounted by a cloudfs of node N with a cache of its own
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cloudfs_benchmarks.bench.demo import ganesha
from cloudfs_benchmarks.bench.progress import Say
from cloudfs_benchmarks.demo import mount
from cloudfs_benchmarks.demo.processes import Children
from cloudfs_benchmarks.servers import namespace
from cloudfs_benchmarks.servers.link import Link
from cloudfs_benchmarks.servers.store import serve_folder

DATA = "data"
_BUCKET = "bench"
FRESHNESS = ("--metadata-ttl", "1h", "--negative-ttl", "1h")
"""Of each mount, as for data that do not change: what actimeo is to NFS."""
_MEMORY_LIMIT = "256MiB"
"""Of each mount: less than the data set, so that the SSD cache has something to do."""


@dataclass(frozen=True, slots=True)
class Site:
    """What was brought up. `mounts` has a mountpoint per node; `nfs_url` is None without Ganesha,
    and `missing` then says why. `link` describes each link in words."""

    mounts: tuple[Path, ...]
    nfs_url: str | None
    local: Path
    link: str
    missing: str | None


def bring_up(children: Children, work: Path, *, link: Link, nodes: int, say: Say) -> Site:
    """Serve, export and mount `work`/bucket/data; `children.stack` takes everything away again.

    Root only. `StageError` when a part does not start; NFS-Ganesha may be missing.
    """
    bucket, export, local = work / "bucket", work / "export", work / "local"
    _link_files(bucket / DATA, export / DATA)
    shutil.copytree(bucket / DATA, local / DATA)
    served = []
    for node in range(nodes):
        folder = work / f"nginx-{node}"
        served.append(serve_folder(children, folder, bucket, bucket=_BUCKET, link=link, workers=1))
    say(f"bucket behind {served[0].link}, for each of {nodes} nodes")
    nfs_url, missing = _export(children, work / "ganesha", export, link, say)
    mounts = []
    for node, store in enumerate(served):
        mountpoint = work / f"mnt-{node}"
        mountpoint.mkdir()
        flags = _mount_flags(work, node)
        reached = store.store("s3")
        mount.mount(children, reached.url, mountpoint, *reached.flags, *flags)
        mounts.append(mountpoint)
    return Site(tuple(mounts), nfs_url, local, served[0].link, missing)


def _mount_flags(work: Path, node: int) -> Sequence[str]:
    log_file = work / "logs" / f"cloudfs-{node}.log"
    return (
        *("--cache-dir", str(work / f"cache-{node}")),
        *("--memory-limit", _MEMORY_LIMIT),
        *FRESHNESS,
        *("--log-file", str(log_file)),
    )


def _export(
    children: Children, folder: Path, export: Path, link: Link, say: Say
) -> tuple[str | None, str | None]:
    """The NFS server's URL, or None and why there is none."""
    missing = ganesha.missing()
    if missing is not None:
        say(f"no NFS: {missing}")
        return None, missing
    place = namespace.create(children, link.total_gbit)
    server = ganesha.start(children, folder, export, address=place.address, inside=place.prefix)
    say(f"NFS-Ganesha behind {link.total_gbit:g} Gbit/s, without delay")
    return server.url, None


def _link_files(source: Path, target: Path) -> None:
    """The same files under another root: read from the same disk, and stored once."""
    for folder, _, names in os.walk(source):
        place = target / Path(folder).relative_to(source)
        place.mkdir(parents=True)
        for name in names:
            os.link(os.path.join(folder, name), place / name)
