"""What takes the time of a training step after its batch has come: a stand-in or a model."""

from __future__ import annotations

import importlib.util
import time
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cloudfs_benchmarks.bench.data.arrays import FEATURES
from cloudfs_benchmarks.bench.errors import BenchError
from cloudfs_benchmarks.bench.training.job import Model

_HIDDEN = 128
_LEARNING_RATE = 1e-3


class Accelerator(Protocol):
    """Something that computes."""

    def step(self, features: NDArray[np.float32]) -> None:
        """One step on a batch of features, (samples, values); returns when it is done."""


class Sleep:
    """An accelerator that takes the same time for every step and leaves the CPU to the workers."""

    def __init__(self, compute_s: float) -> None:
        self._compute_s = compute_s

    def step(self, features: NDArray[np.float32]) -> None:
        """Wait as long as the accelerator would compute."""
        time.sleep(self._compute_s)


class Autoencoder:
    """A small PyTorch model that learns to return its input, on a CUDA device if there is one."""

    def __init__(self, seed: int) -> None:
        import torch  # noqa: PLC0415 - optional

        self._torch = torch
        torch.manual_seed(seed)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        nn = torch.nn
        self._model = nn.Sequential(
            *(nn.LayerNorm(FEATURES), nn.Linear(FEATURES, _HIDDEN), nn.SiLU()),
            nn.Linear(_HIDDEN, FEATURES),
        ).to(self._device)
        self._optimiser = torch.optim.Adam(self._model.parameters(), lr=_LEARNING_RATE)

    def step(self, features: NDArray[np.float32]) -> None:
        """Forward, backward and an update of the weights."""
        inputs = self._torch.from_numpy(features).to(self._device)
        loss: Any = self._torch.nn.functional.mse_loss(self._model(inputs), inputs)
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        # Waits for the device.
        loss.item()


def make_accelerator(model: Model, compute_s: float, seed: int) -> Accelerator:
    """The accelerator of a job; `BenchError` when its model needs PyTorch and that is missing."""
    if model is Model.NONE:
        return Sleep(compute_s)
    if importlib.util.find_spec("torch") is None:
        raise BenchError("PyTorch is not installed: pip install torch, or train without a model")
    return Autoencoder(seed)
