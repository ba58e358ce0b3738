"""Worlds: failures are reported by line, and changes stay within the world."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from tests.docs import worlds
from tests.docs.pages import ROOT, Page
from tests.docs.worlds import BUCKET, CHECKOUT, Loopback, not_printed
from tests.support.mounting import is_mounted

pytestmark = pytest.mark.slow


def _page(folder: Path, text: str) -> Page:
    path = folder / "page.md"
    path.write_text(f"# Title\n\n{text}", encoding="utf-8")
    return Page(path)


def _run(page: Page, world: str, network: Loopback) -> worlds.Outcome:
    folder = page.path.parent / "world"
    folder.mkdir()
    return worlds.run(page, world, network, folder)


def test_a_command_that_fails_is_named_by_its_line(network: Loopback, tmp_path: Path) -> None:
    page = _page(tmp_path, "<!-- run: bucket -->\n```sh\ntrue\n(exit 7)\necho never\n```\n")
    outcome = _run(page, BUCKET, network)
    assert outcome.status == 7
    assert f"{page.name}:6: status 7" in outcome.text
    assert "never" not in outcome.text


def test_output_that_was_not_printed_is_named_by_its_line(
    network: Loopback, tmp_path: Path
) -> None:
    shown = "<!-- output -->\n```text\none is ...\n...\nthree\n{}```\n"
    commands = "<!-- run: bucket -->\n```sh\nprintf 'one is 1\\ntwo\\nthree\\n'\n```\n"
    page = _page(tmp_path, commands + shown.format(""))
    outcome = _run(page, BUCKET, network)
    assert not_printed(page, BUCKET, outcome) == []
    wrong = _page(tmp_path, commands + shown.format("two\n"))
    assert [text.split(": ")[0] for text in not_printed(wrong, BUCKET, outcome)] == [
        f"{wrong.name}:12"
    ]


def test_what_is_done_in_a_world_stays_in_it(network: Loopback, tmp_path: Path) -> None:
    name = f"made-by-a-page-{uuid.uuid4()}"
    places = [Path(folder) / name for folder in ("/etc", "/mnt", "/tmp", "/root", "/run", ROOT)]
    page = _page(
        tmp_path,
        "<!-- run: checkout -->\n```sh\n"
        f"touch {' '.join(map(str, places))}\n"
        "cloudfs mount s3://my-bucket/train /mnt/data --background\n"
        "cp -r /mnt/data/case_000 .\n"
        f"bash -c 'exec -a {name} sleep 600' &\n```\n",
    )
    was_mounted = is_mounted(Path("/mnt/data"))
    outcome = _run(page, CHECKOUT, network)
    assert outcome.status == 0, outcome.text
    assert [place for place in places if os.path.lexists(place)] == []
    assert not (ROOT / "case_000").exists()
    assert is_mounted(Path("/mnt/data")) == was_mounted
    assert name.encode() not in b"".join(_command_lines())


def _command_lines() -> list[bytes]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found.append((process / "cmdline").read_bytes())
        except OSError:
            continue
    return found
