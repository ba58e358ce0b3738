"""Compressed blocks: what was stored is read back, damage stays inside, probes are cheap."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import zlib

import lz4.block
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudfs_cache.api import BLOCK_BYTES
from cloudfs_cache.disk.format import codec
from cloudfs_cache.disk.format.codec import Codec, CodecError

STRIDES = {
    Codec.LZ4: 1,
    Codec.SHUFFLE4_LZ4: 4,
    Codec.SHUFFLE8_LZ4: 8,
    Codec.SHUFFLE12_LZ4: 12,
    Codec.SHUFFLE24_LZ4: 24,
}
PACKED = tuple(STRIDES)
GUARD = 64

smooth = np.sin(np.linspace(0, 60, 400_000)) + np.random.default_rng(1).normal(0, 1e-5, 400_000)
FLOATS = smooth.astype("<f4").tobytes()[:BLOCK_BYTES]
DOUBLES = (1.5 + smooth * 1e-3).tobytes()[:BLOCK_BYTES]
NOISE = random.Random(1).randbytes(BLOCK_BYTES)


def reference(chosen: Codec, block: bytes) -> bytes:
    """What is on disk, put down independently: planes, the incomplete record, lz4."""
    stride = STRIDES[chosen]
    whole = len(block) - len(block) % stride
    planes = b"".join(block[number:whole:stride] for number in range(stride))
    return bytes(lz4.block.compress(planes + block[whole:], store_size=False))


def decoded(chosen: Codec, stored: bytes, length: int) -> bytes:
    """`decode` into the middle of a larger buffer, whose other bytes must stay as they are.

    So must the middle when it fails.
    """
    buffer = bytearray(b"\xa5" * (length + 2 * GUARD))
    untouched = bytes(buffer)
    try:
        codec.decode(chosen, stored, memoryview(buffer)[GUARD : GUARD + length])
    except CodecError:
        assert buffer == untouched
        raise
    assert buffer[:GUARD] == buffer[-GUARD:] == untouched[:GUARD]
    return bytes(buffer[GUARD : GUARD + length])


def test_the_numbers_on_disk() -> None:
    assert {one.name: one.value for one in Codec} == {
        "RAW": 0,
        "LZ4": 1,
        "SHUFFLE4_LZ4": 2,
        "SHUFFLE8_LZ4": 3,
        "SHUFFLE12_LZ4": 4,
        "SHUFFLE24_LZ4": 5,
    }


@pytest.mark.parametrize("chosen", PACKED)
def test_every_length_decodes(chosen: Codec) -> None:
    for length in range(1, 5001):
        block = FLOATS[length : 2 * length]
        assert decoded(chosen, reference(chosen, block), length) == block


@pytest.mark.parametrize("chosen", PACKED)
def test_every_length_that_can_save_encodes(chosen: Codec) -> None:
    for length in range(codec.STORED_UNIT_BYTES + 1, 5001):
        block = (b"%d," * 2000 % tuple(range(length, length + 2000)))[:length]
        stored = codec.encode(chosen, memoryview(block))
        if stored is not None:
            assert decoded(chosen, stored, length) == block
        assert stored == reference(chosen, block) or len(reference(chosen, block)) > 4096


@pytest.mark.parametrize("chosen", PACKED)
@pytest.mark.parametrize("length", [BLOCK_BYTES, BLOCK_BYTES - 1, BLOCK_BYTES - 4097, 65_537])
def test_large_blocks(chosen: Codec, length: int) -> None:
    assert decoded(chosen, reference(chosen, FLOATS[:length]), length) == FLOATS[:length]
    block = (b"1.234e-5 " * BLOCK_BYTES)[:length]
    stored = codec.encode(chosen, memoryview(block))
    assert stored == reference(chosen, block)
    assert decoded(chosen, stored, length) == block


@given(
    chosen=st.sampled_from(PACKED),
    pattern=st.binary(min_size=1, max_size=40),
    noise=st.binary(max_size=3000),
    length=st.integers(1, 60_000),
)
def test_what_is_kept_is_smaller_and_comes_back(
    chosen: Codec, pattern: bytes, noise: bytes, length: int
) -> None:
    block = (noise + pattern * (length // len(pattern) + 1))[:length]
    stored = codec.encode(chosen, memoryview(block))
    if stored is None:
        saved = 1 - _units(reference(chosen, block)) / _units(block)
        assert saved < 0.2 or length <= codec.STORED_UNIT_BYTES
        return
    assert _units(stored) <= 0.8 * _units(block)
    assert decoded(chosen, stored, length) == block


def _units(data: bytes) -> int:
    return -(-len(data) // codec.STORED_UNIT_BYTES)


@pytest.mark.parametrize("chosen", PACKED)
def test_a_fifth_of_the_units_is_to_be_saved(chosen: Codec) -> None:
    unit, length = codec.STORED_UNIT_BYTES, 20 * codec.STORED_UNIT_BYTES
    stored = {
        units: codec.encode(chosen, memoryview(NOISE[: units * unit].ljust(length, b"\0")))
        for units in (15, 16)
    }
    assert stored[15] is not None
    assert _units(stored[15]) == 16
    assert stored[16] is None


@pytest.mark.parametrize("chosen", Codec)
def test_noise_is_not_encoded(chosen: Codec) -> None:
    assert codec.encode(chosen, memoryview(NOISE)) is None


def test_a_raw_block_is_copied() -> None:
    assert decoded(Codec.RAW, NOISE[:5000], 5000) == NOISE[:5000]


@pytest.mark.parametrize("chosen", Codec)
@pytest.mark.parametrize("length", [0, 1, 9_999, 10_001, BLOCK_BYTES])
def test_another_length_is_refused(chosen: Codec, length: int) -> None:
    block = FLOATS[:10_000]
    stored = block if chosen == Codec.RAW else reference(chosen, block)
    with pytest.raises(CodecError):
        decoded(chosen, stored, length)


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(CodecError, match="unknown codec 77"):
        decoded(77, FLOATS[:5000], 5000)  # type: ignore[arg-type]  # read from a damaged index


@pytest.mark.parametrize("chosen", PACKED)
def test_every_truncation_is_refused(chosen: Codec) -> None:
    stored = reference(chosen, FLOATS[:5000])
    for length in range(len(stored)):
        with pytest.raises(CodecError):
            decoded(chosen, stored[:length], 5000)


@given(
    chosen=st.sampled_from(PACKED),
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8
    ),
    length=st.integers(1, 20_000),
)
def test_damage_stays_inside(chosen: Codec, changes: list[tuple[float, int]], length: int) -> None:
    stored = bytearray(reference(chosen, FLOATS[:length]))
    for place, value in changes:
        stored[int(place * len(stored))] = value
    _decode_or_refuse(chosen, bytes(stored), length)


@given(chosen=st.sampled_from(PACKED), stored=st.binary(max_size=400), length=st.integers(1, 5000))
def test_anything_at_all_stays_inside(chosen: Codec, stored: bytes, length: int) -> None:
    _decode_or_refuse(chosen, stored, length)


def _decode_or_refuse(chosen: Codec, stored: bytes, length: int) -> None:
    with contextlib.suppress(CodecError):
        assert len(decoded(chosen, stored, length)) == length


def _float_vectors(kind: str) -> bytes:
    """Three components of different size, one after the other."""
    parts = [smooth[:200_000] * 3.0, np.cos(smooth[:200_000]) * 1e-3, np.exp(smooth[:200_000])]
    return np.stack(parts, axis=-1).astype(kind).tobytes()[:BLOCK_BYTES]


TEXT = ("\n".join(f"{value:.7g} {number}" for number, value in enumerate(smooth))).encode()
VOCABULARY = [NOISE[at : at + 4 + at % 11].hex() for at in range(0, 2000, 10)]
WORDS = " ".join(random.Random(1).choices(VOCABULARY, k=80_000)).encode()[:BLOCK_BYTES]


CASES = {
    "f4": (FLOATS, {Codec.SHUFFLE4_LZ4}),
    "f8": (DOUBLES, {Codec.SHUFFLE8_LZ4, Codec.SHUFFLE24_LZ4}),
    "f4 vectors": (_float_vectors("<f4"), {Codec.SHUFFLE12_LZ4, Codec.SHUFFLE24_LZ4}),
    "f8 vectors": (_float_vectors("<f8"), {Codec.SHUFFLE24_LZ4}),
    "integers": (np.arange(1 << 17).tobytes(), {Codec.SHUFFLE8_LZ4, Codec.SHUFFLE24_LZ4}),
    "numbers": (TEXT[:BLOCK_BYTES], set(PACKED)),
    "words": (WORDS, {Codec.LZ4}),
    "zeros": (b"\0" * BLOCK_BYTES, set(PACKED)),
    "noise": (NOISE, {Codec.RAW}),
    "deflated": (zlib.compress(TEXT), {Codec.RAW}),
    "noise in mantissas": (np.frombuffer(NOISE, "<u4").astype("<f4").tobytes(), {Codec.RAW}),
    "one unit": (b"\0" * 4096, {Codec.RAW}),
    "two units": (b"\0" * 4097, set(PACKED)),
    "one byte": (b"\0", {Codec.RAW}),
}


@pytest.mark.parametrize(("block", "expected"), CASES.values(), ids=CASES)
def test_what_the_probe_takes(block: bytes, expected: set[Codec]) -> None:
    chosen = codec.probe(memoryview(block))
    assert chosen in expected
    stored = codec.encode(chosen, memoryview(block))
    if chosen == Codec.RAW:
        assert stored is None
    else:
        assert stored is not None
        assert len(stored) <= 1.05 * min(len(reference(one, block)) for one in PACKED)


@pytest.mark.parametrize("phase", range(1, 8))
def test_a_block_may_start_within_a_record(phase: int) -> None:
    shifted = memoryview(DOUBLES)[phase:]
    assert codec.probe(shifted) in {Codec.SHUFFLE8_LZ4, Codec.SHUFFLE24_LZ4}
    stored, aligned = (
        codec.encode(Codec.SHUFFLE8_LZ4, at) for at in (shifted, memoryview(DOUBLES))
    )
    assert stored is not None
    assert aligned is not None
    assert abs(len(stored) - len(aligned)) < 0.01 * len(aligned)


@pytest.mark.parametrize("where", [0.0, 0.34, 0.67, 1.0])
def test_the_probe_looks_at_all_parts_of_a_block(where: float) -> None:
    """Half of the block is noise, wherever it is: the other half pays for it."""
    start = int(where * BLOCK_BYTES / 2)
    block = bytearray(BLOCK_BYTES)
    block[start : start + BLOCK_BYTES // 2] = NOISE[: BLOCK_BYTES // 2]
    assert codec.probe(memoryview(block)) != Codec.RAW


@given(length=st.integers(1, BLOCK_BYTES))
def test_samples_lie_in_the_block_and_are_small(length: int) -> None:
    parts = codec.sampled(length)
    assert all(0 <= part.start < part.stop <= length for part in parts)
    assert sum(part.stop - part.start for part in parts) <= 32 * 1024
    assert bool(parts) == (length > codec.STORED_UNIT_BYTES)


TOUCH = """
import ctypes, mmap, os, random, sys
from cloudfs_cache.disk.format import codec
size, page = 1 << 20, mmap.PAGESIZE
area = mmap.mmap(-1, size)
area.write(random.Random(1).randbytes(size))
address = ctypes.addressof(ctypes.c_char.from_buffer(area))
wanted = {p for s in codec.sampled(size) for p in range(s.start // page, (s.stop - 1) // page + 1)}
mprotect = ctypes.CDLL(None, use_errno=True).mprotect
mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
for number in set(range(size // page)) - wanted:
    assert mprotect(address + number * page, page, 0) == 0
print(len(wanted), flush=True)
block = memoryview(area)
print(codec.probe(block).name if sys.argv[1] == "probe" else codec.encode(codec.Codec.LZ4, block))
sys.stdout.flush()
os._exit(0)
"""


def _touch(what: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", TOUCH, what], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_probe_of_noise_touches_nothing_but_the_sample() -> None:
    """Every page that is not sampled is out of bounds: one access would end the process."""
    done = _touch("probe")
    assert done.returncode == 0, done.stderr
    pages, answer = done.stdout.split()
    assert answer == "RAW"
    assert int(pages) <= 12
    assert _touch("encode").returncode < 0, "a full pass did not hit a protected page"


def test_numpy_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, cloudfs_cache.disk.format.codec; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
