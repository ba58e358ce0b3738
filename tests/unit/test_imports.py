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

LAYERS = (
    *("__main__", "cli", "daemon", "session", "exposition", "doctor", "opening", "status"),
    *("steering", "fuse", "vfs", "prefetch"),
)
"""Parts of `cloudfs`, from the top down: each may import itself and what is below it."""

LEAVES = frozenset(
    {
        "errors",
        "units",
        "option",
        "options",
        "config",
        "config_files",
        "sources",
        "config_check",
        "logs",
        "secrecy",
        "control",
        "mountpoints",
        "metrics",
        "service",
    }
    | {"conversation", "cost", "recent"}
    | {"derive", "malloc", "kinds", "globs", "policy"}
)
"""Parts of `cloudfs` that every layer may import; they import only each other and the bottom."""

BOTTOM = frozenset({"cloudfs_cache", "cloudfs_backends"})
PARTS_MEASURED = {
    "cloudfs_benchmarks.compression": "cloudfs_cache",
    # The simulator judges the very policy that the mount runs, which no command line could show.
    "cloudfs_benchmarks.eviction": "cloudfs_cache",
}
"""Benchmarks of a part rather than of a mount: each may import that package, and no other."""

VERSION = "cloudfs"
"""The package itself holds the version alone, so everything in it may import that."""


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


def _part(module: str) -> str:
    """`vfs` for `cloudfs.vfs.reader`."""
    return module.split(".")[1]


def _package(module: str) -> str:
    """`cloudfs` for `cloudfs.vfs.reader`."""
    return module.split(".", maxsplit=1)[0]


def _allowed(module: str, imported: str) -> bool:
    if _package(module) != "cloudfs":
        measured = PARTS_MEASURED.get(".".join(module.split(".")[:2]))
        return _package(imported) in {_package(module), measured}
    if module == VERSION:
        return False
    if _package(imported) in BOTTOM or imported == VERSION:
        return True
    return _package(imported) == "cloudfs" and _points_down(_part(module), _part(imported))


def _points_down(importer: str, imported: str) -> bool:
    """Whether one part of `cloudfs` may import another."""
    if imported in LEAVES:
        return True
    return importer in LAYERS and LAYERS.index(importer) <= LAYERS.index(imported)


def test_every_part_of_cloudfs_has_a_layer() -> None:
    parts = {_part(module) for module in MODULES if module.startswith("cloudfs.")}
    assert parts <= {*LAYERS, *LEAVES}


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
        ("cloudfs.cli.mount", "cloudfs.daemon", True),
        ("cloudfs.cli.doctor", "cloudfs.doctor.checks", True),
        ("cloudfs.doctor.fixes", "cloudfs.opening", True),
        ("cloudfs.opening", "cloudfs.doctor.fixes", False),
        ("cloudfs.vfs.reader", "cloudfs.fuse.errnos", False),
        ("cloudfs.daemon", "cloudfs.steering.commands", True),
        ("cloudfs.steering.walk", "cloudfs.vfs.names", True),
        ("cloudfs.vfs.tree", "cloudfs.steering.walk", False),
        ("cloudfs.fuse.operations", "cloudfs_backends.api", True),
        ("cloudfs.units", "cloudfs.vfs.names", False),
        ("cloudfs_cache.memory", "cloudfs_backends.api", False),
        ("cloudfs_cache.memory", "cloudfs.units", False),
        ("cloudfs_backends.s3", "cloudfs_cache.api", False),
        ("cloudfs_benchmarks.demo.mount", "cloudfs.cli", False),
        ("cloudfs_benchmarks.demo.mount", "cloudfs_cache.api", False),
        ("cloudfs_benchmarks.demo.mount", "cloudfs_cache.eviction", False),
        ("cloudfs_benchmarks.eviction.sampled", "cloudfs_cache.eviction", True),
        ("cloudfs_benchmarks.eviction.sampled", "cloudfs_backends.api", False),
        ("cloudfs_benchmarks.evictions", "cloudfs_cache.eviction", False),
        ("cloudfs_benchmarks.compression.measure", "cloudfs_cache.codec", True),
        ("cloudfs_benchmarks.compression.measure", "cloudfs_backends.api", False),
    ],
)
def test_the_rule_itself(module: str, imported: str, allowed: bool) -> None:
    assert _allowed(module, imported) is allowed
