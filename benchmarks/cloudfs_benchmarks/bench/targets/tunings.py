"""Which of the known tunings of NFS clients a mount does not use, from what the kernel says of it.

Of a data set that does not change, on a network that is fast.
"""

from __future__ import annotations

_RSIZE = 1 << 20
_CONNECTIONS = 4
_ATTRIBUTES_S = 600
_READ_AHEAD_BLOCKS = 15
_READ_AHEAD_KB = _READ_AHEAD_BLOCKS * _RSIZE // 1024
_DEFAULT_ACREGMIN_S, _DEFAULT_ACDIRMIN_S = 3, 30

OF_LIBNFS = (
    "none of the kernel's tunings (nconnect, rsize, actimeo, read_ahead_kb, fsc) applies: "
    "libnfs reads in userspace over one connection per reader, at most 1 MiB at a time",
    "libnfs 4 writes at most 3.5 KiB at a time over NFS version 4: no mount writes as slowly",
    "no client cache and no read-ahead: every read goes to the server, in every epoch",
)
"""What there is to say of an nfs:// target, whose figures are those of no tuned mount."""


def missing(options: str, read_ahead_kb: int | None) -> tuple[str, ...]:
    """The tunings that an NFS mount with these options does not use, each with what it would do.

    `options` are the kernel's, comma separated. Those that it does not show have their default.
    """
    values = dict(option.partition("=")[::2] for option in options.split(","))
    found = (
        _connections(values),
        _transfer_size(values),
        _attributes(values),
        _read_ahead(values, read_ahead_kb),
        _local_cache(values),
    )
    return tuple(tuning for tuning in found if tuning is not None)


def _connections(values: dict[str, str]) -> str | None:
    used = _number(values, "nconnect", 1)
    if used >= _CONNECTIONS:
        return None
    return (
        f"nconnect={_CONNECTIONS} to 16 (is {used}): more TCP connections, where one does not "
        "fill the network"
    )


def _transfer_size(values: dict[str, str]) -> str | None:
    used = _number(values, "rsize", 0)
    if used >= _RSIZE:
        return None
    return f"rsize={_RSIZE} (is {used or 'not shown'}): fewer requests for the same bytes"


def _attributes(values: dict[str, str]) -> str | None:
    files = _number(values, "acregmin", _DEFAULT_ACREGMIN_S)
    folders = _number(values, "acdirmin", _DEFAULT_ACDIRMIN_S)
    kept = "noac" not in values and min(files, folders) >= _ATTRIBUTES_S
    if kept or "nocto" in values:
        return None
    now = "noac" if "noac" in values else f"{files} s for files, {folders} s for folders"
    return (
        f"actimeo={_ATTRIBUTES_S} or nocto (is {now}): attributes of data that do not change are "
        "not asked for again at every open"
    )


def _read_ahead(values: dict[str, str], used: int | None) -> str | None:
    rsize = _number(values, "rsize", _RSIZE)
    if used is not None and used >= _READ_AHEAD_BLOCKS * rsize // 1024:
        return None
    return (
        f"read_ahead_kb={_READ_AHEAD_KB} (is {'unknown' if used is None else used}): a sequential "
        "reader keeps many requests on the way instead of waiting for each"
    )


def _local_cache(values: dict[str, str]) -> str | None:
    if "fsc" in values:
        return None
    return "fsc with cachefilesd (is off): epochs after the first are read from a local disk"


def _number(values: dict[str, str], name: str, default: int) -> int:
    text = values.get(name, "")
    return int(text) if text.isdecimal() else default
