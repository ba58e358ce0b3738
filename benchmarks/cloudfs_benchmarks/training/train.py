"""Train a small flow surrogate from a directory of CFD cases: `python train.py DATA_DIR`.

The model maps (x, y, thickness, camber, incidence) to the velocity over the stream's speed and the
pressure coefficient. Every epoch reads every file of every `run_*` folder that it needs: the VTU
mesh, the HDF5 sweep, the NPZ wall and the CSV of parameters, in a new random order. With PyTorch
the cases come through a DataLoader with worker processes and train on a CUDA device if there is
one; without it a pool of processes and a NumPy model take their place.

An ordinary script: standard library, NumPy, h5py and, where installed, PyTorch. All times are in
seconds of the monotonic clock. A file that cannot be read ends the run with its traceback.
"""

from __future__ import annotations

import argparse
import collections
import csv
import dataclasses
import importlib.util
import json
import multiprocessing
import os
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Sample = tuple[Array, Array, int]
"""Inputs (n, 5), targets (n, 3), and the bytes of the files they came from."""

HIDDEN = 96
LEARNING_RATE = 2e-3
PREFETCHED_PER_WORKER = 2
INPUT_SCALE = np.array([1.0, 1.0, 0.1, 0.1, 10.0], dtype=np.float32)
"""Positions in metres, thickness and camber as drawn, incidence in degrees: all of order one."""

_VTU_TYPES = {"Float32": "<f4", "Float64": "<f8", "Int32": "<i4", "Int64": "<i8", "UInt8": "<u1"}
_VTU_HEAD_MAX = 64 * 1024
_VTU_DATA_MARK = b'<AppendedData encoding="raw">'


def read_vtu(path: Path) -> dict[str, NDArray[Any]]:
    """Every array of a `.vtu` file with appended raw arrays, checked for its length."""
    return parse_vtu(path.read_bytes(), str(path))


def parse_vtu(content: bytes, name: str) -> dict[str, NDArray[Any]]:
    """What `read_vtu` does with the content of the file `name`."""
    mark = content.find(_VTU_DATA_MARK, 0, _VTU_HEAD_MAX)
    if mark < 0:
        raise ValueError(f"{name} is not a VTU file with appended raw arrays")
    base = content.index(b"_", mark) + 1
    arrays = {}
    for tag in re.findall(r"<DataArray ([^>]*)/>", content[:mark].decode("ascii")):
        fields = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        kind = np.dtype(_VTU_TYPES[fields["type"]])
        start = base + int(fields["offset"])
        length = int.from_bytes(content[start : start + 8], "little")
        values = np.frombuffer(content, kind, length // kind.itemsize, start + 8)
        width = int(fields["NumberOfComponents"])
        arrays[fields["Name"]] = values.reshape(-1, width) if width > 1 else values
    if arrays["connectivity"].max() != len(arrays["Points"]) - 1:
        raise ValueError(f"{name}: the cells do not belong to the points")
    return arrays


class Cases:
    """A map-style dataset in PyTorch's sense: one item is one case, read from its files.

    `epoch` decides which points a sample holds; set it before the epoch's workers start.
    """

    def __init__(self, root: Path, points: int, seed: int) -> None:
        self.folders = sorted(root.glob("run_*"))
        if not self.folders:
            raise SystemExit(f"{root}: no run_* folders here")
        self.points = points
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.folders)

    def __getitem__(self, index: int) -> Sample:
        folder = self.folders[index]
        number = folder.name.removeprefix("run_")
        rng = np.random.default_rng([self.seed, self.epoch, index])
        paths = [
            folder / f"geo_parameters_{number}.csv",
            folder / f"volume_{number}.vtu",
            folder / f"fields_{number}.h5",
            folder / f"surface_{number}.npz",
        ]
        with paths[0].open(newline="", encoding="ascii") as file:
            case = {name: float(value) for name, value in next(csv.DictReader(file)).items()}
        parts = [
            self._from_volume(paths[1], case, rng),
            self._from_fields(paths[2], case, rng),
            self._from_surface(paths[3], case, rng),
        ]
        inputs = np.concatenate([part[0] for part in parts])
        targets = np.concatenate([part[1] for part in parts])
        if not (np.isfinite(inputs).all() and np.isfinite(targets).all()):
            raise ValueError(f"{folder}: values that are not numbers")
        return inputs, targets, sum(path.stat().st_size for path in paths)

    def _from_volume(
        self, path: Path, case: dict[str, float], rng: np.random.Generator
    ) -> tuple[Array, Array]:
        mesh = read_vtu(path)
        chosen = rng.integers(len(mesh["Points"]), size=self.points)
        velocity = mesh["velocity"][chosen, :2]
        return self._pack(
            case, mesh["Points"][chosen, :2], velocity, mesh["pressure_coefficient"][chosen]
        )

    def _from_fields(
        self, path: Path, case: dict[str, float], rng: np.random.Generator
    ) -> tuple[Array, Array]:
        with h5py.File(path, "r") as file:
            points = file["points"][...]
            incidences_deg = file["incidence_deg"][...]
            velocity = file["velocity"][...]
            pressure = file["pressure_coefficient"][...]
        step = int(rng.integers(len(incidences_deg)))
        chosen = rng.integers(len(points), size=self.points)
        at = {**case, "incidence_deg": float(incidences_deg[step])}
        return self._pack(at, points[chosen], velocity[step, chosen], pressure[step, chosen])

    def _from_surface(
        self, path: Path, case: dict[str, float], rng: np.random.Generator
    ) -> tuple[Array, Array]:
        with np.load(path) as file:
            wall = {name: file[name] for name in file.files}
        chosen = rng.integers(len(wall["position"]), size=self.points)
        return self._pack(
            case,
            wall["position"][chosen],
            wall["velocity"][chosen],
            wall["pressure_coefficient"][chosen],
        )

    @staticmethod
    def _pack(
        case: dict[str, float], position: Array, velocity: Array, pressure: Array
    ) -> tuple[Array, Array]:
        shape = [case["thickness"], case["camber"], case["incidence_deg"]]
        constant = np.broadcast_to(np.array(shape, dtype=np.float32), (len(position), 3))
        inputs = np.concatenate([position, constant], axis=1) / INPUT_SCALE
        speed = np.float32(case["speed_m_s"])
        targets = np.concatenate([velocity / speed, pressure[:, None]], axis=1)
        return inputs.astype(np.float32, copy=False), targets


@dataclass(frozen=True)
class Step:
    """One optimiser step: `wait_s` for its batch, `compute_s` in the model."""

    epoch: int
    step: int
    wait_s: float
    compute_s: float
    loss: float
    cases: int
    bytes_read: int


class TorchTrainer:
    """The surrogate as a PyTorch module, fed by a DataLoader."""

    def __init__(self, seed: int) -> None:
        import torch  # noqa: PLC0415 - optional

        torch.manual_seed(seed)
        self._torch = torch
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        nn = torch.nn
        self._model = nn.Sequential(
            *(nn.Linear(5, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN), nn.SiLU()),
            nn.Linear(HIDDEN, 3),
        ).to(self.device)
        self._optimiser = torch.optim.Adam(self._model.parameters(), lr=LEARNING_RATE)

    def batches(self, cases: Cases, batch_size: int, workers: int) -> Iterable[Any]:
        """An epoch's batches in a new random order."""
        dataset: Any = cases
        return self._torch.utils.data.DataLoader(
            dataset,
            batch_size=batch_size,
            shuffle=True,
            num_workers=workers,
            prefetch_factor=PREFETCHED_PER_WORKER if workers else None,
            pin_memory=self.device == "cuda",
        )

    def train(self, inputs: Any, targets: Any) -> float:
        """One step on a batch; returns its loss, after the device has finished."""
        guess = self._model(inputs.to(self.device, non_blocking=True))
        goal = targets.to(self.device, non_blocking=True)
        loss: Any = self._torch.nn.functional.huber_loss(guess, goal)
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        return float(loss.item())


class NumpyTrainer:
    """The same surrogate with its gradient written out, fed by a pool of processes."""

    device = "cpu"

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        sizes = [(5, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, 3)]
        weights = [self._rng.normal(0, rows**-0.5, (rows, columns)) for rows, columns in sizes]
        biases = [np.zeros(columns) for _, columns in sizes]
        self._values = [value.astype(np.float32) for value in weights + biases]
        self._means = [np.zeros_like(value) for value in self._values]
        self._squares = [np.zeros_like(value) for value in self._values]
        self._steps = 0

    def batches(self, cases: Cases, batch_size: int, workers: int) -> Iterator[Any]:
        """An epoch's batches in a new random order, at most a few per worker ahead."""
        order = [int(index) for index in self._rng.permutation(len(cases))]
        groups = [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
        if workers == 0:
            yield from (_collate(cases, group) for group in groups)
            return
        with multiprocessing.get_context("fork").Pool(workers) as pool:
            pending = collections.deque[Any]()
            for group in groups:
                pending.append(pool.apply_async(_collate, (cases, group)))
                if len(pending) > workers * PREFETCHED_PER_WORKER:
                    yield pending.popleft().get()
            while pending:
                yield pending.popleft().get()

    def train(self, inputs: Array, targets: Array) -> float:
        """One Adam step on a batch; returns its Huber loss."""
        x = inputs.reshape(-1, inputs.shape[-1])
        first, second, last, bias_first, bias_second, bias_last = self._values
        one = np.tanh(x @ first + bias_first)
        two = np.tanh(one @ second + bias_second)
        error = two @ last + bias_last - targets.reshape(-1, targets.shape[-1])
        slope = np.clip(error, -1, 1) / error.size
        back_two = slope @ last.T * (1 - two**2)
        back_one = back_two @ second.T * (1 - one**2)
        gradients = [x.T @ back_one, one.T @ back_two, two.T @ slope]
        self._descend([*gradients, back_one.sum(0), back_two.sum(0), slope.sum(0)])
        size = np.abs(error)
        return float(np.where(size < 1, error**2 / 2, size - 0.5).mean())

    def _descend(self, gradients: list[Array]) -> None:
        self._steps += 1
        rate = LEARNING_RATE * (1 - 0.999**self._steps) ** 0.5 / (1 - 0.9**self._steps)
        for index, gradient in enumerate(gradients):
            self._means[index] += 0.1 * (gradient - self._means[index])
            self._squares[index] += 0.001 * (gradient**2 - self._squares[index])
            self._values[index] -= rate * self._means[index] / (self._squares[index] ** 0.5 + 1e-8)


def _collate(cases: Cases, group: list[int]) -> tuple[Array, Array, NDArray[np.int64]]:
    samples = [cases[index] for index in group]
    inputs = np.stack([sample[0] for sample in samples])
    targets = np.stack([sample[1] for sample in samples])
    return inputs, targets, np.array([sample[2] for sample in samples])


def run_epoch(
    trainer: TorchTrainer | NumpyTrainer, batches: Iterable[Any], epoch: int
) -> list[Step]:
    """Train on every batch; the first step's wait includes starting the workers."""
    steps = []
    mark_s = time.monotonic()
    for number, (inputs, targets, sizes) in enumerate(batches, 1):
        ready_s = time.monotonic()
        loss = trainer.train(inputs, targets)
        done_s = time.monotonic()
        steps.append(
            Step(
                *(epoch, number, ready_s - mark_s, done_s - ready_s, loss),
                cases=len(sizes),
                bytes_read=int(sizes.sum()),
            )
        )
        mark_s = done_s
    return steps


def summarise(steps: list[Step]) -> dict[str, float]:
    """An epoch's figures; mean and median leave out the first step, which starts the workers."""
    later = [step.wait_s + step.compute_s for step in steps[1:] or steps]
    waited_s = sum(step.wait_s for step in steps)
    total_s = waited_s + sum(step.compute_s for step in steps)
    return {
        "epoch": steps[0].epoch,
        "cases": sum(step.cases for step in steps),
        "bytes_read": sum(step.bytes_read for step in steps),
        "wall_s": total_s,
        "step_mean_s": statistics.fmean(later),
        "step_median_s": statistics.median(later),
        "wait_fraction": waited_s / total_s,
        "first_batch_s": steps[0].wait_s,
        "loss": statistics.fmean(step.loss for step in steps),
    }


def save(path: Path, document: dict[str, Any]) -> None:
    """Replace `path` as a whole, so that a reader never sees half a document."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(document, indent=1) + "\n", encoding="ascii")
    os.replace(partial, path)


def train(options: argparse.Namespace, say: Callable[[str], None]) -> None:
    """All epochs; `--out` is rewritten after each of them."""
    cases = Cases(options.data_dir, options.points, options.seed)
    use_torch = options.backend != "numpy" and importlib.util.find_spec("torch") is not None
    trainer = TorchTrainer(options.seed) if use_torch else NumpyTrainer(options.seed)
    backend = "torch" if use_torch else "numpy"
    say(f"{len(cases)} cases, {backend} on {trainer.device}, {options.workers} workers")
    document: dict[str, Any] = {
        "backend": backend,
        "device": trainer.device,
        "workers": options.workers,
        "epochs": [],
        "steps": [],
    }
    for epoch in range(1, options.epochs + 1):
        cases.epoch = epoch
        steps = run_epoch(trainer, trainer.batches(cases, options.batch, options.workers), epoch)
        figures = summarise(steps)
        document["epochs"].append(figures)
        document["steps"] += [dataclasses.asdict(step) for step in steps]
        if options.out:
            save(options.out, document)
        say(
            f"epoch {epoch}/{options.epochs}: step mean {figures['step_mean_s'] * 1e3:.1f} ms"
            f" median {figures['step_median_s'] * 1e3:.1f} ms,"
            f" data wait {figures['wait_fraction']:.0%},"
            f" first batch {figures['first_batch_s']:.2f} s, loss {figures['loss']:.4f}"
        )
        if options.lockstep and epoch < options.epochs and not sys.stdin.readline():
            raise SystemExit("standard input ended between two epochs")


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description="Train a flow surrogate from a directory.")
    parser.add_argument("data_dir", type=Path, metavar="DATA_DIR")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="loader processes, 0 for none")
    parser.add_argument("--batch", type=int, default=4, help="cases per step")
    parser.add_argument("--points", type=int, default=256, help="points per file and case")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--backend", choices=["auto", "numpy"], default="auto")
    parser.add_argument("--out", type=Path, help="write the step records here, as JSON")
    parser.add_argument(
        "--lockstep",
        action="store_true",
        help="wait for a line on standard input between epochs, so that counters can be read",
    )
    train(parser.parse_args(), lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
