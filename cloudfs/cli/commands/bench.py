"""`cloudfs bench`: measure directories against each other.

The benchmark is another distribution with its own requirements, loaded by name when a verb runs.
"""

from __future__ import annotations

import importlib
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from cloudfs import units
from cloudfs.cli.arguments.groups import Commands
from cloudfs.cli.errors import say
from cloudfs.cli.render.progress import Row, display
from cloudfs.errors import ExitCode, UserError, printable

_COMMANDS: Final = "cloudfs_benchmarks.bench.command"
_EXTRA: Final = "pip install 'cloudfs-mount[bench]'"
_OUT: Final = "cloudfs-bench"
_DURATION_MAX_S: Final = 3600.0
_Number = TypeVar("_Number", int, float)


def _size(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """Parse bytes, as in the options of `cloudfs mount`."""
    return _parse(units.parse_size, context, parameter, text)


def _duration(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    """Parse seconds, or a number with a unit."""
    seconds = _parse(units.parse_duration, context, parameter, text)
    if seconds is not None and seconds > _DURATION_MAX_S:
        raise click.BadParameter(f"{text}: give at most 1h", context, parameter)
    return seconds


def _parse(
    parse: Callable[[str], _Number],
    context: click.Context,
    parameter: click.Parameter,
    text: str | None,
) -> _Number | None:
    try:
        return None if text is None else parse(text)
    except ValueError as error:
        raise click.BadParameter(f"{text}: {error}", context, parameter) from None


_RESULTS: Final = click.Path(path_type=Path, dir_okay=False)
_FOLDER: Final = click.Path(path_type=Path, file_okay=False)


@click.group(
    "bench",
    cls=Commands,
    invoke_without_command=True,
    short_help="Measure a mount against NFS and the local disk.",
)
@click.pass_context
def command(context: click.Context) -> None:
    """Measure directories against each other: throughput, latency, metadata, and training from
    them. docs/benchmarks.md says how to run it, docs/benchmarking.md what is measured."""
    assert isinstance(context.command, Commands)
    context.command.require_verb(context)


_SHARED: Final = (
    click.option(
        "--suite",
        "suites",
        multiple=True,
        type=click.Choice(["quick", "standard", "training"]),
        help="What to measure; may be repeated.",
    ),
    click.option("--size", metavar="SIZE", callback=_size, help="Bytes of data: 10GiB."),
    click.option("--out", type=_FOLDER, help="Folder for report.html, results.json, PNGs."),
    click.option("--trials", type=click.IntRange(1, 100), help="Repetitions of everything [3]."),
    click.option("--readers", type=click.IntRange(2, 256), default=4, help="'Many readers' [4]."),
    click.option("--workers", type=click.IntRange(1, 256), default=4, help="Loader workers [4]."),
    click.option("--batch", type=click.IntRange(1, 4096), default=4, help="Samples per step [4]."),
    click.option(
        "--compute-time",
        metavar="TIME",
        callback=_duration,
        default="50ms",
        help="The accelerator's time per step [50ms].",
    ),
    click.option(
        "--model",
        type=click.Choice(["none", "torch"]),
        default="none",
        help="Instead of waiting --compute-time, train a small PyTorch model.",
    ),
    click.option(
        "--loader",
        type=click.Choice(["auto", "torch", "pool"]),
        default="auto",
        help="PyTorch's DataLoader, or a pool of processes [auto].",
    ),
    click.option(
        "--epochs",
        type=click.IntRange(1, 1000),
        help="Epochs [quick 2, training 3].",
    ),
    click.option("--seed", type=int, default=1, help="Decides data and random orders [1]."),
    click.option(
        "--warmup",
        is_flag=True,
        help="Start 'cloudfs warmup' of the data as epoch 1 begins.",
    ),
    click.option(
        "--keep-pages",
        is_flag=True,
        help="Leave the page cache alone between epochs: memory holds the data set.",
    ),
)
"""The options that `run` and `demo` have in common, in the order of their help."""


def _measuring(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_SHARED):
        function = option(function)
    return function


@command.command("run", short_help="Measure targets and write a report.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    required=True,
    metavar="NAME=PATH",
    help="A mounted directory, or NAME=nfs://SERVER/EXPORT; repeat it for each.",
)
@click.option(
    "--dataset",
    metavar="DIR",
    help="Read this folder of every target ('.': all of it) instead of data of the run's own.",
)
@click.option("--dry-run", is_flag=True, help="Print the estimate and end.")
@_measuring
def run(**values: Any) -> int:
    """Measure every target in the same way, in turns, and write a report.

    The run writes data of its own into a folder of each target and removes it at the end; a
    read-only target needs --dataset (see 'cloudfs bench data').
    """
    with _benchmark() as bench, _progress() as show:
        complete = bench.run(_with_defaults(values), show)
    return ExitCode.OK if complete else ExitCode.INCOMPLETE


@command.command("demo", short_help="Bring up a bucket and NFS on this machine, and measure them.")
@click.option(
    "--link-gbit", type=click.FloatRange(0.01, 100), default=1.0, help="Each link's rate [1]."
)
@click.option(
    "--nodes", type=click.IntRange(1, 16), default=4, help="Reader nodes in the last part [4]."
)
@_measuring
def demo(**values: Any) -> int:
    """Bring up an object store behind a link like a cloud's, an NFS server behind the same link,
    and a folder of the local disk; measure all three, then several reader nodes at once.

    Needs root. Everything is on this machine and is taken away again.
    """
    with _benchmark() as bench, _progress() as show:
        complete = bench.demo(_with_defaults(values), show)
    return ExitCode.OK if complete else ExitCode.INCOMPLETE


@command.command("data", short_help="Write the benchmark's data set into a folder.")
@click.argument("folder", type=_FOLDER, metavar="DIR")
@click.option("--size", metavar="SIZE", callback=_size, default="4GiB", help="How much [4GiB].")
@click.option("--seed", type=int, default=1, help="Same seed, same bytes [1].")
def data(folder: Path, *, size: int, seed: int) -> None:
    """Write the data set into the new folder DIR, to be copied to the bucket and the NFS server.

    Then: cloudfs bench run --dataset DIR --target ...
    """
    with _benchmark() as bench, _progress() as show:
        bench.data(folder, size, seed, show=show)


@command.command("report", short_help="Draw the report of a results.json again.")
@click.argument("results", type=_RESULTS, metavar="RESULTS.json")
@click.option("--out", type=_FOLDER, help="Folder for the report [that of RESULTS.json].")
@click.option("--markdown", is_flag=True, help="Print the tables in Markdown and write nothing.")
def report(results: Path, *, out: Path | None, markdown: bool) -> None:
    """Print the tables of a run and write its report.html and pictures again."""
    with _benchmark() as bench:
        bench.report(results, out or results.parent, markdown=markdown)


@command.command("compare", short_help="Compare two runs.")
@click.argument("a", type=_RESULTS, metavar="A.json")
@click.argument("b", type=_RESULTS, metavar="B.json")
def compare(a: Path, b: Path) -> int:
    """Compare the run B with the earlier run A; exit code 12 when something got worse."""
    with _benchmark() as bench:
        regressed = bench.compare(a, b)
    return ExitCode.REGRESSION if regressed else ExitCode.OK


@command.command("clean", short_help="Remove what killed runs left in targets.")
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
def clean(targets: tuple[str, ...]) -> None:
    """Remove the folders that runs which were killed have left in these targets.

    Folders of runs that are still going on stay.
    """
    with _benchmark() as bench:
        bench.clean(targets)


def _with_defaults(values: dict[str, Any]) -> dict[str, Any]:
    command_line = shlex.join(["cloudfs", *sys.argv[1:]])
    return {**values, "out": values["out"] or _new_folder(), "command": command_line}


def _new_folder() -> Path:
    """Return a new folder for this run in the working directory."""
    number = 1
    while (folder := Path(f"{_OUT}-{number}")).exists():
        number += 1
    return folder


@contextmanager
def _benchmark() -> Iterator[Any]:
    """Load the benchmark, and turn its errors into a line and an exit code."""
    try:
        bench = importlib.import_module(_COMMANDS)
    except ModuleNotFoundError as missing:
        raise _requirement_error(missing) from missing
    try:
        yield bench
    except ModuleNotFoundError as missing:
        raise _requirement_error(missing) from missing
    except bench.BenchError as error:
        raise UserError(ExitCode.USAGE, str(error)) from None
    except bench.StageError as error:
        first, *rest = str(error).splitlines() or [""]
        for line in rest:
            click.echo(f"    {printable(line)}", err=True)
        raise UserError(ExitCode.INCOMPLETE, first) from None
    except bench.Stopped as stopped:
        say("stopped; everything was cleaned up")
        sys.exit(stopped.exit_status)


def _requirement_error(missing: ModuleNotFoundError) -> UserError:
    what = (missing.name or "a package").partition(".")[0]
    return UserError(ExitCode.USAGE, f"the benchmark needs {what}, which is missing: {_EXTRA}")


@contextmanager
def _progress() -> Iterator[Callable[[Any], None]]:
    """Yield the callback that shows progress on stderr."""
    with display() as draw:
        yield lambda now: draw([Row("bench", now.done, now.total, now.text)])
