"""The training run: an ordinary script in its own process, epoch by epoch in lockstep with us.

Between two epochs the script waits for a line from us. The mount's counters are read in that pause,
so every byte belongs to exactly one epoch, and no step's time contains the asking.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cloudfs_benchmarks.demo.mount import Counters
from cloudfs_benchmarks.demo.processes import Children, kill
from cloudfs_benchmarks.interpreter import python

SCRIPT = Path(__file__).parent.parent / "training" / "train.py"
RUN_TIMEOUT_S = 600.0
_EPOCH_LINE = re.compile(r"epoch (\d+)/(\d+): ")
_END_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch as the script saw it, and what the mount served for it (None without a mount)."""

    number: int
    cases: int
    bytes_read: int
    step_median_s: float
    wait_fraction: float
    first_batch_s: float
    loss: float
    served: Counters | None


@dataclass(frozen=True, slots=True)
class Hooks:
    """What happens between epochs: read the counters, then prepare the epoch of that number."""

    read_counters: Callable[[], Counters] | None
    before_epoch: Callable[[int], None]
    say: Callable[[str], None]


def run_training(
    children: Children, data_dir: Path, steps_path: Path, *, epochs: int, hooks: Hooks
) -> list[Epoch]:
    """Run the script to its end and return its epochs; its step records are at `steps_path`."""
    command = python(str(SCRIPT), str(data_dir), "--epochs", str(epochs))
    command += ["--workers", "2", "--out", str(steps_path), "--lockstep"]
    counters = hooks.read_counters() if hooks.read_counters else None
    script = children.start("training", command, stdin=subprocess.PIPE, pipe=True)
    watchdog = threading.Timer(RUN_TIMEOUT_S, kill, [script])
    watchdog.start()
    finished: list[Epoch] = []
    try:
        for number in _epoch_ends(script, hooks.say):
            served = None
            if hooks.read_counters and counters is not None:
                before, counters = counters, hooks.read_counters()
                served = counters.since(before)
            finished.append(_read_epoch(steps_path, number, served))
            if number < epochs:
                hooks.before_epoch(number + 1)
                _go_on(script)
        status = script.wait(_END_TIMEOUT_S)
    finally:
        watchdog.cancel()
    if status != 0 or len(finished) != epochs:
        raise children.failure("training", f"ended with status {status}")
    return finished


def _epoch_ends(script: subprocess.Popen[str], say: Callable[[str], None]) -> Iterator[int]:
    """Pass the script's lines on; yields the number of each epoch that has ended."""
    for line in script.stdout or ():
        say(line.rstrip())
        match = _EPOCH_LINE.match(line)
        if match:
            yield int(match[1])


def _go_on(script: subprocess.Popen[str]) -> None:
    # A script that has died closes its end: its status, asked for at the end, tells more.
    with suppress(BrokenPipeError):
        if script.stdin:
            script.stdin.write("\n")
            script.stdin.flush()


def _read_epoch(steps_path: Path, number: int, served: Counters | None) -> Epoch:
    document = json.loads(steps_path.read_text(encoding="ascii"))
    figures = document["epochs"][number - 1]
    return Epoch(
        number=number,
        cases=figures["cases"],
        bytes_read=figures["bytes_read"],
        step_median_s=figures["step_median_s"],
        wait_fraction=figures["wait_fraction"],
        first_batch_s=figures["first_batch_s"],
        loss=figures["loss"],
        served=served,
    )
