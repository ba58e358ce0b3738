"""The report as one HTML file that needs nothing else: no network, no script, no font."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from cloudfs_benchmarks.bench.report import conditions, sections
from cloudfs_benchmarks.bench.report.cells import conditions as conditions_line
from cloudfs_benchmarks.bench.report.markup import image, paragraph, section, text
from cloudfs_benchmarks.bench.report.plots import Picture
from cloudfs_benchmarks.bench.report.verdict import verdict
from cloudfs_benchmarks.bench.results import Results

# Should anything foreign slip through as markup, the browser loads and runs none of it.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_MAIN = "steps"


def write_page(results: Results, pictures: Sequence[Picture], path: Path) -> None:
    """Write the report with the pictures in it. `OSError` as of files."""
    path.write_text(render_page(results, pictures), encoding="utf-8")


def render_page(results: Results, pictures: Sequence[Picture]) -> str:
    """The page's text."""
    style = (
        resources.files("cloudfs_benchmarks.bench.report")
        .joinpath("page.css")
        .read_text(encoding="utf-8")
    )
    parts = [
        (anchor, title, section(anchor, title, content))
        for anchor, title, content in _contents(results, pictures)
    ]
    links = "".join(
        f'<a href="#{anchor}">{text(title)}</a>' for anchor, title, part in parts if part
    )
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{text(f'cloudfs bench: {verdict(results)}')}</title>",
            f"<style>\n{style}</style>\n</head>\n<body>\n<header>",
            f"<h1>{text(results.tool)}, {text(results.started_at)}</h1>",
            paragraph(verdict(results), "verdict"),
            paragraph(conditions_line(results), "faint"),
            f'</header>\n<nav aria-label="Contents">{links}</nav>\n<main>',
            *(part for _, _, part in parts if part),
            "</main>\n</body>\n</html>\n",
        ]
    )


def _contents(results: Results, pictures: Sequence[Picture]) -> list[tuple[str, str, list[str]]]:
    """(anchor, title, parts) in the order of the page."""

    def drawn(*names: str) -> list[str]:
        return [image(one) for one in pictures if one.name.startswith(names)]

    return [
        ("claims", "Claims", sections.claims(results)),
        ("steps", "Step time over the epochs", drawn(_MAIN)),
        ("summary", "Summary", sections.summary(results)),
        ("training", "Training", [*sections.training(results), *drawn("au", "hit-ratio")]),
        ("nodes", "Reader nodes", [*sections.nodes(results), *drawn("nodes")]),
        ("throughput", "Throughput", drawn("throughput")),
        ("latency", "Latency", [*sections.latency(results), *drawn("latency")]),
        ("rates", "Files, names and accesses", drawn("rates")),
        ("nfs", "Was NFS given a fair chance?", conditions.fairness(results)),
        ("method", "How it was measured", conditions.method(results)),
        ("figures", "All figures", sections.all_figures(results)),
        ("environment", "Environment", conditions.environment(results)),
        ("targets", "Targets", conditions.targets(results)),
        ("problems", "Errors and skipped", conditions.problems(results)),
        ("repeat", "Repeat it", conditions.repeat(results)),
    ]
