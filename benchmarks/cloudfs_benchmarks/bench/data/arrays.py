"""Which part of an array a sample is, and the few of its values that go into a batch. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEATURES = 4096
"""Values per sample in a batch: the same for every format, so that samples can be stacked."""

Array = NDArray[Any]
Features = NDArray[np.float32]


def window(
    shape: Sequence[int], chunks: Sequence[int] | None, part: int, parts: int
) -> tuple[slice, ...] | None:
    """The slices of part `part` of `parts` of an array; None when that part is empty.

    It is cut along its longest axis and between chunks, so that the parts together read every chunk
    once.
    """
    if 0 in shape:
        return None
    if not shape:
        return () if part == 0 else None
    axis = max(range(len(shape)), key=lambda index: shape[index])
    step = chunks[axis] if chunks else 1
    steps = -(-shape[axis] // step)
    start = steps * part // parts * step
    stop = min(steps * (part + 1) // parts * step, shape[axis])
    if start >= stop:
        return None
    return tuple(
        slice(start, stop) if index == axis else slice(None) for index in range(len(shape))
    )


def draw_features(arrays: Sequence[Array]) -> Features:
    """`FEATURES` finite values, evenly from all numeric arrays; zeros where there are too few."""
    features = np.zeros(FEATURES, dtype=np.float32)
    numeric = [array for array in arrays if array.dtype.kind in "biuf" and array.size]
    place = 0
    for left, array in zip(range(len(numeric), 0, -1), numeric, strict=True):
        wanted = (FEATURES - place) // left
        values = array.reshape(-1)[:: max(1, array.size // max(1, wanted))][:wanted]
        # Numbers beyond single precision become infinite, and zero with the others.
        with np.errstate(over="ignore"):
            features[place : place + len(values)] = values
        place += len(values)
    features[~np.isfinite(features)] = 0
    return features
