"""Block compression for the disk tier: lz4, alone or after a byte shuffle.

Simulation files hold arrays of floats. Neighbours are alike in their high bytes only, and plain lz4
finds no repeats of four bytes in them. A byte shuffle with stride n moves the first bytes of all
n-byte records to the front, then all second bytes, and so on: equal high bytes become long runs.
Strides of 4 and 8 suit float32 and float64, 12 and 24 their vectors of three components. A block
may start in the middle of a record; that only changes the order of the planes. What each of them
pays on which format, and what was tried and left out, is in docs/compression.md.

lz4 and numpy do their work without holding the interpreter's lock, so worker threads may compress
while the event loop answers readers. numpy is imported when a block is first probed: it takes a
tenth of a second, which a mount that never compresses does not pay. Nothing here knows of files,
objects or checksums.
"""

from __future__ import annotations

from enum import IntEnum

import lz4.block

from cloudfs_cache.api import Buffer

STORED_UNIT_BYTES = 4096
"""What is stored takes whole units of this on the disk."""

_SAVING_FLOOR = 0.2
_PROBE_FLOOR = 0.17  # A sample has fewer repeats than the block that it stands for.
_SCREEN_FLOOR = 0.08
_SAMPLES = 4
_SAMPLE_BYTES = 8184  # A multiple of every stride, so that samples join without a change of phase.


class Codec(IntEnum):
    """How a stored block is encoded. The numbers are on disk: never renumber."""

    RAW = 0
    LZ4 = 1
    SHUFFLE4_LZ4 = 2
    SHUFFLE8_LZ4 = 3
    SHUFFLE12_LZ4 = 4
    SHUFFLE24_LZ4 = 5


_STRIDES = {
    Codec.LZ4: 1,
    Codec.SHUFFLE4_LZ4: 4,
    Codec.SHUFFLE8_LZ4: 8,
    Codec.SHUFFLE12_LZ4: 12,
    Codec.SHUFFLE24_LZ4: 24,
}
_SCREEN = (Codec.LZ4, Codec.SHUFFLE24_LZ4)
"""Together these two gain something on whatever any of the others gains on."""

_PHASE_BYTES = max(_STRIDES.values())


class CodecError(Exception):
    """What is stored is no block of this codec and length."""


def probe(block: memoryview) -> Codec:
    """The codec that would save most of `block`; RAW: none saves enough.

    Reads nothing but `sampled(len(block))`. The answer is a guess: `encode` has the last word.
    """
    ranges = sampled(len(block))
    if not ranges:
        return Codec.RAW
    sample = memoryview(b"".join([block[part] for part in ranges]))
    sizes = {codec: len(_compress(codec, sample)) for codec in _SCREEN}
    if min(sizes.values()) > (1 - _SCREEN_FLOOR) * len(sample):
        return Codec.RAW
    sizes |= {codec: len(_compress(codec, sample)) for codec in _STRIDES if codec not in sizes}
    best = min(sizes, key=lambda one: (sizes[one], one))
    return best if sizes[best] <= (1 - _PROBE_FLOOR) * len(sample) else Codec.RAW


def sampled(length: int) -> list[slice]:
    """What `probe` reads of a block of `length` bytes; nothing where nothing can be saved."""
    if length <= STORED_UNIT_BYTES:
        return []
    if length <= _SAMPLES * _SAMPLE_BYTES:
        return [slice(0, length)]
    last = length - _SAMPLE_BYTES
    starts = [last * number // (_SAMPLES - 1) for number in range(_SAMPLES)]
    starts = [start - start % _PHASE_BYTES for start in starts]
    return [slice(start, start + _SAMPLE_BYTES) for start in starts]


def encode(codec: Codec, block: memoryview) -> bytes | None:
    """`block` as it is to be stored; None: that does not save a fifth of its units on the disk."""
    if codec == Codec.RAW or len(block) <= STORED_UNIT_BYTES:
        return None
    stored = _compress(codec, block)
    if _units(len(stored)) > (1 - _SAVING_FLOOR) * _units(len(block)):
        return None
    return stored


def decode(codec: Codec, stored: Buffer, out: memoryview) -> None:
    """Fill `out` with the block that `encode` made `stored` of.

    Raises CodecError, and leaves `out` as it was, when `stored` does not decode to exactly
    `len(out)` bytes. Damage that keeps the length goes unnoticed: blocks have checksums.
    """
    if codec == Codec.RAW:
        _copy(stored, out)
        return
    stride = _STRIDES.get(codec)
    if stride is None:
        raise CodecError(f"unknown codec {int(codec)}")
    try:
        block = lz4.block.decompress(stored, uncompressed_size=len(out))
    except (lz4.block.LZ4BlockError, ValueError, OverflowError) as error:
        raise CodecError(f"not an lz4 block of {len(out)} bytes: {error}") from error
    if stride == 1 or len(block) != len(out):
        _copy(block, out)
    else:
        _unshuffle(block, stride, out)


def _units(length: int) -> int:
    return -(-length // STORED_UNIT_BYTES)


def _copy(source: Buffer, out: memoryview) -> None:
    view = memoryview(source)
    if view.nbytes != out.nbytes:
        raise CodecError(f"{view.nbytes} bytes instead of {out.nbytes}")
    out[:] = view


def _compress(codec: Codec, block: memoryview) -> bytes:
    stride = _STRIDES[codec]
    data = block if stride == 1 else _shuffle(block, stride)
    return bytes(lz4.block.compress(data, store_size=False))


def _shuffle(block: memoryview, stride: int) -> Buffer:
    """The bytes of `block` plane by plane; an incomplete last record stays at the end."""
    import numpy as np  # noqa: PLC0415 - a tenth of a second, see the module's docstring

    source = np.frombuffer(block, np.uint8)
    whole = len(source) - len(source) % stride
    shuffled = np.empty_like(source)
    shuffled[:whole].reshape(stride, -1)[...] = source[:whole].reshape(-1, stride).T
    shuffled[whole:] = source[whole:]
    return shuffled.data


def _unshuffle(shuffled: Buffer, stride: int, out: memoryview) -> None:
    """Undo `_shuffle`, plane by plane: one transposed copy takes up to three times as long."""
    import numpy as np  # noqa: PLC0415 - as above

    source = np.frombuffer(shuffled, np.uint8)
    target = np.frombuffer(out, np.uint8)
    whole = len(source) - len(source) % stride
    for number, plane in enumerate(source[:whole].reshape(stride, -1)):
        target[number:whole:stride] = plane
    target[whole:] = source[whole:]
