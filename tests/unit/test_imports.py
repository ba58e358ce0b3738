"""Imports point down only, as ARCHITECTURE.md draws them; also those for type checking count."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "cloudfs": ROOT / "cloudfs",
    "cloudfs_cache": ROOT / "cache" / "cloudfs_cache",
    "cloudfs_backends": ROOT / "backends" / "cloudfs_backends",
    "cloudfs_benchmarks": ROOT / "benchmarks" / "cloudfs_benchmarks",
}

LAYERS: dict[str, list[str]] = {
    "cloudfs": [
        "__main__ cli.manual cli.reference",
        "cli.main cli.mount_helper",
        "cli.commands",
        "cli.watch",
        "cli",
        "cli.arguments",
        "cli.errors",
        "cli.render",
        "doctor",
        "doctor.probes",
        "daemon",
        "status",
        "status.prometheus fuse",
        "admin vfs",
        "vfs.metadata prefetch",
        "admin.messages",
        "status.document",
        "control config",
        "telemetry",
        "telemetry.logs",
        "telemetry.redact system",
        "errors units",
    ],
    "cloudfs_cache": [
        "cache",
        "admin",
        "fetch disk",
        "memory disk.io",
        "disk.index",
        "disk.format tiers",
        "eviction metadata",
        "api",
    ],
    "cloudfs_backends": [
        "registry",
        "s3 gcs azure local",
        "wrappers",
        "common",
        "api errors url histogram",
    ],
    "cloudfs_benchmarks": [
        "bench",
        "readpath eviction compression",
        "servers",
        "demo",
        "dataset training interpreter",
    ],
}
"""The floors of each package, from the top down, and the rooms on each. A room may import itself
and the floors below it, never a room beside it; the longest name that fits is a module's room."""

WALLS = (
    ("cloudfs_cache.disk", "cloudfs_cache.memory"),
    ("cloudfs_cache.memory", "cloudfs_cache.disk"),
)
"""Rooms that must not import another although it is on a lower floor."""

BOTTOM = frozenset({"cloudfs_cache", "cloudfs_backends"})
"""Packages that every room of `cloudfs` may import, and that import only themselves."""

PARTS_MEASURED = {
    "cloudfs_benchmarks.compression": "cloudfs_cache",
    # The simulator judges the very policy that the mount runs, which no command line could show.
    "cloudfs_benchmarks.eviction": "cloudfs_cache",
}
"""Benchmarks of a part rather than of a mount: each may import that package, and no other."""

VERSION = "cloudfs"
"""The package itself holds the version alone, so everything may import that."""


def _modules() -> dict[str, Path]:
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            found[".".join(part for part in parts if part != "__init__")] = path
    return found


MODULES = _modules()


def _imports(module: str) -> set[str]:
    """The modules of ours that `module` imports anywhere in its text."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: line {node.lineno} imports relatively"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in names}
    return {name for name in found if _package(name) in PACKAGES and name != module}


def _package(module: str) -> str:
    """`cloudfs` for `cloudfs.vfs.tree`."""
    return module.split(".", maxsplit=1)[0]


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def _room(module: str) -> tuple[int, str] | None:
    """The floor, 0 the top one, and the name of the room that `module` is in."""
    inner = module.partition(".")[2]
    rooms = [
        (floor, name)
        for floor, names in enumerate(LAYERS[_package(module)])
        for name in names.split()
        if _is_in(inner, name)
    ]
    return max(rooms, key=lambda room: len(room[1]), default=None)


def _allowed(module: str, imported: str) -> bool:
    package, other = _package(module), _package(imported)
    if imported == VERSION and package not in BOTTOM:
        return True
    if package != other:
        if package == "cloudfs":
            return other in BOTTOM and module != VERSION
        return other == PARTS_MEASURED.get(".".join(module.split(".")[:2]))
    if imported == package:
        return True
    if any(_is_in(module, room) and _is_in(imported, wall) for room, wall in WALLS):
        return False
    here, there = _room(module), _room(imported)
    return here is not None and there is not None and (here == there or here[0] < there[0])


@pytest.mark.parametrize("module", [name for name in MODULES if name not in PACKAGES])
def test_every_module_has_a_room(module: str) -> None:
    assert _room(module) is not None, f"{module}: which floor of {_package(module)} is it on?"


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    wrong = {imported for imported in _imports(module) if not _allowed(module, imported)}
    assert not wrong, f"{module} must not import {wrong}"


def test_there_are_no_import_cycles() -> None:
    graph = {module: _imports(module) for module in MODULES}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail("import cycle: " + " <- ".join(error.args[1]))


def test_the_training_script_imports_nothing_of_cloudfs() -> None:
    assert not _imports("cloudfs_benchmarks.training.train")


def test_the_fuse_layer_reaches_inodes_through_the_filesystem_alone() -> None:
    private = {"cloudfs.vfs.tree", "cloudfs.vfs.inode_table"}
    owned = {"inodes", "lookups", "opens", "children"}
    for module in (name for name in MODULES if name.startswith("cloudfs.fuse")):
        assert not _imports(module) & private, module
        for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                is_own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
                is_own = is_own or node.attr.startswith("__")
                reaches = node.attr in owned or (node.attr.startswith("_") and not is_own)
                assert not reaches, f"{module}: line {node.lineno} reaches for {node.attr}"


_BENCH = "cloudfs_benchmarks.bench"
_REPORTING = (f"{_BENCH}.report", f"{_BENCH}.compare", f"{_BENCH}.schema", f"{_BENCH}.statistics")
_RECORDS = {f"{_BENCH}.{name}" for name in ("results", "errors", "matching", "conditions")}
_RECORDS |= {"cloudfs_benchmarks.readpath.figures"}


def test_reports_of_the_benchmark_know_records_and_nothing_that_measures() -> None:
    for module in (name for name in MODULES if name.startswith(_REPORTING)):
        wrong = {
            name
            for name in _imports(module)
            if name not in _RECORDS and not name.startswith(_REPORTING)
        }
        assert not wrong, f"{module} must not import {wrong}"


@pytest.mark.parametrize(
    ("module", "imported", "allowed"),
    [
        ("cloudfs.cli.commands.mount", "cloudfs.daemon.lifecycle", True),
        ("cloudfs.cli.commands.doctor", "cloudfs.doctor.checks.registry", True),
        ("cloudfs.cli.render.page", "cloudfs.cli.query", False),
        ("cloudfs.doctor.fixes", "cloudfs.daemon.resources", True),
        ("cloudfs.daemon.resources", "cloudfs.doctor.fixes", False),
        ("cloudfs.vfs.tree", "cloudfs.fuse.errnos", False),
        ("cloudfs.vfs.metadata.names", "cloudfs.vfs.tree", False),
        ("cloudfs.admin.walk", "cloudfs.vfs.metadata.names", True),
        ("cloudfs.admin.walk", "cloudfs.vfs.tree", False),
        ("cloudfs.fuse.operations", "cloudfs_backends.api", True),
        ("cloudfs.units", "cloudfs.vfs.metadata.names", False),
        ("cloudfs", "cloudfs.units", False),
        ("cloudfs_cache.memory.lru", "cloudfs_cache.fetch.planner", False),
        ("cloudfs_cache.fetch.planner", "cloudfs_cache.disk.tier", False),
        ("cloudfs_cache.disk.tier", "cloudfs_cache.disk.index.blocks", True),
        ("cloudfs_cache.disk.index.blocks", "cloudfs_cache.disk.tier", False),
        ("cloudfs_cache.disk.tier", "cloudfs_cache.memory.block", False),
        ("cloudfs_cache.memory.block", "cloudfs_cache.disk.format.records", False),
        ("cloudfs_cache.tiers.sharded", "cloudfs_cache.disk.tier", False),
        ("cloudfs_cache.memory.lru", "cloudfs_backends.api", False),
        ("cloudfs_cache.memory.lru", "cloudfs.units", False),
        ("cloudfs_cache.memory.lru", "cloudfs", False),
        ("cloudfs_backends.s3.client", "cloudfs_backends.common.cloud", True),
        ("cloudfs_backends.s3.client", "cloudfs_backends.gcs.client", False),
        ("cloudfs_backends.common.cloud", "cloudfs_backends.s3.client", False),
        ("cloudfs_backends.s3.client", "cloudfs_cache.api", False),
        ("cloudfs_benchmarks.demo.mount", "cloudfs", True),
        ("cloudfs_benchmarks.demo.mount", "cloudfs.cli", False),
        ("cloudfs_benchmarks.demo.mount", "cloudfs_cache.eviction.policy", False),
        ("cloudfs_benchmarks.eviction.sampled", "cloudfs_cache.eviction.policy", True),
        ("cloudfs_benchmarks.eviction.sampled", "cloudfs_backends.api", False),
        ("cloudfs_benchmarks.compression.measure", "cloudfs_cache.disk.format.codec", True),
        ("cloudfs_benchmarks.compression.measure", "cloudfs_backends.api", False),
    ],
)
def test_the_rule_itself(module: str, imported: str, allowed: bool) -> None:
    assert _allowed(module, imported) is allowed
