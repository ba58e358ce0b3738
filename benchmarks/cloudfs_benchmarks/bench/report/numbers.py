"""Numbers and foreign words as they are shown: few digits, one unit per row, one line."""

from __future__ import annotations

from collections.abc import Sequence

from cloudfs_benchmarks.bench.results import Series
from cloudfs_benchmarks.bench.statistics import median

_COUNTED = {"iops": "IOPS", "files": "files/s", "names": "names/s"}
_PREFIXES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def number(value: float, largest: float | None = None) -> str:
    """About three digits; with `largest`, as many decimals as that one gets."""
    return f"{value:.{_decimals(abs(value if largest is None else largest))}f}"


def spread(values: Sequence[float]) -> str:
    """`median (least-most)`; a single value stands alone."""
    middle, most = median(values), max(values)
    if len(values) == 1:
        return number(middle)
    return f"{number(middle, most)} ({number(min(values), most)}-{number(most)})"


def percent(share: float) -> str:
    """A share of 0 to 1 as `97 %`. Never rounded up to 100 %: what is not everything shows so."""
    whole = 100 * share
    if 99.5 <= whole < 100:
        return f"{min(whole, 99.9):.1f} %"
    return f"{whole:.0f} %"


def change(ratio: float) -> str:
    """A ratio as the difference that it is: `+2.5 %`."""
    # Adding zero makes one zero of both: no "-0.0 %".
    return f"{round(100 * (ratio - 1), 1) + 0.0:+.1f} %"


def size(count: float) -> str:
    """Bytes in decimal units: `10.7 GB`."""
    for factor, unit in _PREFIXES:
        if abs(count) >= factor:
            return f"{number(count / factor)} {unit}"
    return f"{count:.0f} B"


def duration(seconds: float) -> str:
    """`42 s`, `3 min 20 s` or `1 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{number(seconds)} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def latencies(values_us: Sequence[float]) -> str:
    """Microseconds in the unit that the largest reads best in: `0.91 / 12.3 ms`."""
    largest = max(values_us)
    factor, unit = next(
        ((factor, unit) for factor, unit in ((1.0, "us"), (1e3, "ms")) if largest < 1e3 * factor),
        (1e6, "s"),
    )
    return f"{' / '.join(number(value / factor) for value in values_us)} {unit}"


def shown(name: str, series: Series) -> Series:
    """A figure in the unit that it is shown in: memory in MB, shares in percent, 1/s by what is
    counted."""
    if name in _COUNTED:
        return Series(_COUNTED[name], series.values)
    if series.unit == "bytes":
        return Series("MB", tuple(value / 1e6 for value in series.values))
    if name.endswith("_share"):
        return Series("%", tuple(value * 100 for value in series.values))
    return series


def one_line(text: str) -> str:
    """Foreign text without line ends and other characters that a terminal would act on."""
    joined = " ".join(text.split())
    return "".join(letter if letter.isprintable() else "?" for letter in joined)


def _decimals(value: float) -> int:
    if value >= 100 or value == 0:
        return 0
    if value >= 10:
        return 1
    return 2 if value >= 1 else 3
