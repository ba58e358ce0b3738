"""The command line of the benchmarks, settled into one record."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cloudfs_benchmarks.servers.__main__ import add_link_arguments, link_of
from cloudfs_benchmarks.servers.dialects import DIALECTS
from cloudfs_benchmarks.servers.link import Link

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True, slots=True)
class Options:
    """Sizes in bytes. `size` None lets each benchmark take its own. `directory` is on the disk
    under test, `store_directory` None lets the store's files go where there is room. `scheme` is
    that of the store's URL."""

    names: tuple[str, ...]
    scheme: str
    trials: int
    warm_ups: int
    size: int | None
    memory_limit: int
    directory: Path
    store_directory: Path | None
    link: Link
    workers: int
    mount_flags: tuple[str, ...]
    json: Path | None
    markdown: bool


def parse_size(text: str) -> int:
    """Bytes of `2G`, `512MiB`, `4096`; `ValueError` for anything else."""
    number = text.upper().removesuffix("IB").removesuffix("B")
    unit = _UNITS.get(number[-1:], 1)
    return int(float(number[:-1] if unit > 1 else number) * unit)


def parse(cases: Mapping[str, str], arguments: list[str] | None) -> Options:
    """Return the options; `cases` are the names with what each measures."""
    listed = "\n".join(f"  {name:18} {help_}" for name, help_ in cases.items())
    parser = argparse.ArgumentParser(
        prog="python -m cloudfs_benchmarks.readpath",
        description=f"Measure reads through a mount.\n\nNAME is one of\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", metavar="NAME", nargs="+", choices=[*cases, "all"])
    parser.add_argument(
        "--scheme",
        choices=[dialect.name for dialect in DIALECTS],
        default=DIALECTS[0].name,
        help="of the store's URL, default s3; `backends` measures all",
    )
    parser.add_argument("--trials", type=int, default=5, help="default 5")
    parser.add_argument("--warm-ups", type=int, default=1, help="rounds not counted, default 1")
    parser.add_argument("--size", type=parse_size, help="bytes to read, such as 2G")
    parser.add_argument(
        "--memory-limit", type=parse_size, default=parse_size("1G"), help="of the mount; default 1G"
    )
    parser.add_argument(
        "--directory", type=Path, default=Path("/var/tmp"), help="on the disk to measure"
    )
    parser.add_argument(
        "--store-directory", type=Path, help="for the bucket; default /dev/shm if it has room"
    )
    add_link_arguments(parser)
    parser.add_argument(
        "--mount-flag", action="append", default=[], help="one more flag for `cloudfs mount`"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, too")
    parser.add_argument("--markdown", action="store_true", help="print rows for the README")
    parsed = parser.parse_args(arguments)
    if parsed.trials < 1:
        parser.error("--trials must be at least 1")
    if parsed.warm_ups < 0:
        parser.error("--warm-ups must be at least 0")
    return Options(
        names=tuple(cases) if "all" in parsed.names else tuple(parsed.names),
        scheme=parsed.scheme,
        trials=parsed.trials,
        warm_ups=parsed.warm_ups,
        size=parsed.size,
        memory_limit=parsed.memory_limit,
        directory=parsed.directory.resolve(),
        store_directory=parsed.store_directory,
        link=link_of(parsed),
        workers=parsed.workers,
        mount_flags=tuple(parsed.mount_flag),
        json=parsed.json,
        markdown=parsed.markdown,
    )
