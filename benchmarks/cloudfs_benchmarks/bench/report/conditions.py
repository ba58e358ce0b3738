"""Under which conditions the numbers hold, as parts of the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cloudfs_benchmarks.bench.report.markup import bullets, code, paragraph, table, text
from cloudfs_benchmarks.bench.report.numbers import duration, number, size
from cloudfs_benchmarks.bench.report.problems import find_problems
from cloudfs_benchmarks.bench.report.proofs import find_proofs
from cloudfs_benchmarks.bench.results import Kind, Results, Target


def fairness(results: Results) -> list[str]:
    """How NFS was mounted, and which of its known tunings were left unused."""
    servers = [target for target in results.targets if target.kind in (Kind.NFS, Kind.LIBNFS)]
    if not servers:
        return [paragraph("No target was NFS.")]
    return [part for target in servers for part in _server(target)]


def method(results: Results) -> list[str]:
    """Trials and order, how caches were emptied and filled, and what to distrust."""
    plan = results.plan
    parts = [
        _pairs(
            [
                ("suite", plan.suite),
                ("trials", f"{plan.trials}; the targets take turns, another one first in each"),
                ("data", _data(results)),
                ("cold by", plan.cold_method),
                ("training", _loader(results)),
                ("seed of every random order", str(plan.seed)),
                ("duration", duration(results.seconds)),
            ]
        )
    ]
    if not results.finished:
        words = "The run was interrupted: what is missing here was not measured."
        parts.insert(0, paragraph(words, "warning"))
    proofs = [
        (one.state, ", ".join(one.targets), one.text, str(one.records))
        for one in find_proofs(results)
    ]
    if proofs:
        head = ("state", "targets", "how it was established", "times")
        caption = "What was in which cache; where texts differ in numbers alone, the first"
        parts.append(table(caption, head, proofs, words={1, 2}))
    unstable = [
        f"{one.name} {one.state}, {one.target}" for one in results.measurements if one.unstable
    ]
    if unstable:
        parts += [paragraph("Unstable, the trials disagree:"), bullets(unstable)]
    return parts


def environment(results: Results) -> list[str]:
    """The machine, before and after."""
    machine = results.environment
    pages = [_or_unknown(count, size) for count in machine.page_cache_bytes]
    load = [_or_unknown(value, number) for value in machine.load]
    return [
        _pairs(
            [
                ("kernel", f"Linux {machine.kernel}"),
                ("distribution", machine.distribution),
                ("CPU", f"{machine.cpu}, {machine.cpus} CPUs"),
                ("memory", size(machine.memory_bytes)),
                ("root", "yes" if machine.root else "no"),
                ("page cache before, after", ", ".join(pages)),
                ("load before, after", ", ".join(load)),
                *((f"disk of {path}", disk) for path, disk in machine.disks.items()),
                *machine.versions.items(),
            ]
        )
    ]


def targets(results: Results) -> list[str]:
    """Every target as it was found."""
    parts = []
    for target in results.targets:
        parts += [
            f"<h3>{text(target.name)}</h3>",
            _pairs(
                [
                    ("location", target.location),
                    ("kind", target.kind),
                    ("filesystem", target.filesystem),
                    ("source", target.source),
                    ("mount options", target.options),
                    ("read_ahead_kb", _or_unknown(target.read_ahead_kb, str)),
                    ("writable", "yes" if target.writable else "no"),
                    ("free", _or_unknown(target.free_bytes, size)),
                    *target.settings.items(),
                ]
            ),
        ]
    return parts


def problems(results: Results) -> list[str]:
    """Every error and everything skipped, with the reason."""
    found = find_problems(results)
    if not found:
        return [paragraph("None.")]
    lines = [(one.target, one.trouble, one.reason, ", ".join(one.where)) for one in found]
    head = ("target", "what", "reason", "where")
    return [table("One line for each reason", head, lines, words={1, 2, 3})]


def repeat(results: Results) -> list[str]:
    """The command, and what the run had to say."""
    return [code(results.command), *([bullets(results.notes)] if results.notes else [])]


def _server(target: Target) -> list[str]:
    options = target.options or ", ".join(
        f"{key} {value}" for key, value in target.settings.items()
    )
    ahead = "" if target.read_ahead_kb is None else f"; read-ahead {target.read_ahead_kb} KiB"
    missing = target.tunings_missing
    found = "Known tunings that were not in use:" if missing else "Every known tuning was in use."
    if missing is None:
        found = "Which tunings were in use is not known."
    return [
        f"<h3>{text(target.name)}</h3>",
        paragraph(f"{target.location}: {options}{ahead}"),
        paragraph(found),
        *([bullets(missing)] if missing else []),
    ]


def _data(results: Results) -> str:
    plan = results.plan
    whose = f"the user's, {plan.dataset} in every target" if plan.dataset else "the run's own"
    return f"{whose}; {size(plan.size_bytes)}"


def _loader(results: Results) -> str:
    plan = results.plan
    loaders = " and ".join(dict.fromkeys(run.loader for run in results.training))
    if not loaders:
        return "none"
    return (
        f"{plan.epochs} epochs, batches of {plan.batch}, {plan.workers} workers, "
        f"{plan.compute_s * 1e3:g} ms of compute a step, loader {loaders}"
    )


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and values; what has no value is left out."""
    items = "".join(
        f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in pairs if value
    )
    return f"<dl>{items}</dl>"


def _or_unknown(value: float | None, show: Callable[[float], str]) -> str:
    return "unknown" if value is None else show(value)
