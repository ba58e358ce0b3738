"""How long the codec keeps other threads from the interpreter.

The event loop of a mount answers every reader in one thread. While a worker compresses, this thread
gives the interpreter's lock up and takes it back again and again, and notes how long that took.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cloudfs_cache.disk.format import codec
from cloudfs_cache.disk.format.codec import Codec


@dataclass(frozen=True, slots=True)
class Waits:
    """Waits in microseconds by percentile, and the raw MB/s of one and of two workers."""

    name: str
    p50_us: float
    p99_us: float
    p999_us: float
    one_rate: float
    two_rate: float


def waits(seconds: float) -> list[Waits]:
    """Measure each action for `seconds`; `idle` is a worker that sleeps, `slices` the plain way."""
    field = np.sin(np.linspace(0, 20, 1 << 18)) + np.random.default_rng(1).normal(0, 1e-4, 1 << 18)
    block = memoryview(field.astype(np.float32).tobytes())
    return [_measure(name, action, len(block), seconds) for name, action in _actions(block).items()]


def _actions(block: memoryview) -> dict[str, Callable[[], object]]:
    plain = bytes(block)
    actions: dict[str, Callable[[], object]] = {"idle": lambda: time.sleep(0.0005)}
    for chosen in (Codec.SHUFFLE4_LZ4, Codec.SHUFFLE12_LZ4):
        stored = codec.encode(chosen, block)
        if stored is None:
            raise RuntimeError(f"{chosen.name} saves too little on a smooth field")
        actions[f"encode {chosen.name}"] = _encoder(chosen, block)
        actions[f"decode {chosen.name}"] = _decoder(chosen, stored, len(block))
    actions["probe"] = lambda: codec.probe(block)
    actions["slices of bytes, no lz4"] = lambda: b"".join([plain[at::4] for at in range(4)])
    return actions


def _encoder(chosen: Codec, block: memoryview) -> Callable[[], object]:
    return lambda: codec.encode(chosen, block)


def _decoder(chosen: Codec, stored: bytes, length: int) -> Callable[[], object]:
    def decode() -> None:
        # A buffer of its own: two workers must not share it.
        out = outs.setdefault(threading.get_ident(), bytearray(length))
        codec.decode(chosen, stored, memoryview(out))

    outs: dict[int, bytearray] = {}
    return decode


def _measure(name: str, action: Callable[[], object], size: int, seconds: float) -> Waits:
    noted = sorted(_note_waits(action, seconds))
    at = [1e6 * noted[int(share * (len(noted) - 1))] for share in (0.5, 0.99, 0.999)]
    rates = [_count(action, workers, seconds) * size / 1e6 for workers in (1, 2)]
    return Waits(name, *at, *rates)


def _note_waits(action: Callable[[], object], seconds: float) -> list[float]:
    noted = []
    with _Workers(action, 1):
        end = time.perf_counter() + seconds
        while (started := time.perf_counter()) < end:
            time.sleep(0)
            noted.append(time.perf_counter() - started)
    return noted


def _count(action: Callable[[], object], workers: int, seconds: float) -> float:
    """Actions per second of all workers together, while this thread sleeps."""
    started = time.perf_counter()
    with _Workers(action, workers) as running:
        time.sleep(seconds)
    return running.done / (time.perf_counter() - started)


class _Workers:
    """Threads that repeat an action until the end of the `with` block."""

    def __init__(self, action: Callable[[], object], count: int) -> None:
        self._action = action
        self._stop = threading.Event()
        self._counts = [0] * count
        self._threads = [threading.Thread(target=self._work, args=(at,)) for at in range(count)]

    @property
    def done(self) -> int:
        """How often the action was done."""
        return sum(self._counts)

    def __enter__(self) -> _Workers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        while not self._stop.is_set():
            self._action()
            self._counts[number] += 1
