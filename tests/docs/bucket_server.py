"""The bucket of the documentation, `my-bucket`, on an S3 server of its own.

A process for a network namespace in which nothing else is: it brings the loopback up, listens at a
fixed port, and fills the bucket anew for each line of its standard input, whose end ends it.
"""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from typing import Any, Final
from urllib.request import Request, urlopen

PORT: Final = 4566
ENDPOINT_URL: Final = f"http://127.0.0.1:{PORT}"
FILLED: Final = "filled"

_BUCKET: Final = "my-bucket"
_CASES: Final = 6
_POINTS: Final = 2048


def _case(number: int) -> dict[str, bytes]:
    """Return the files of a solver's case: flow at random points around a cylinder."""
    import h5py  # noqa: PLC0415 - the tests import the constants above
    import numpy as np  # noqa: PLC0415

    random = np.random.default_rng(number)
    radius, angle = random.uniform(1, 3, _POINTS), random.uniform(0, 2 * np.pi, _POINTS)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype("float32")
    pressure = (1 - np.abs(1 - np.exp(-2j * angle) / radius**2) ** 2).astype("float32")
    volume, surface = io.BytesIO(), io.BytesIO()
    with h5py.File(volume, "w") as file:
        file["points"], file["pressure"] = points, pressure
    np.savez(surface, angle=angle[:256], pressure=pressure[:256])
    forces = "step,drag,lift\n" + "".join(f"{step},0.0,{step / 100}\n" for step in range(50))
    return {
        "volume.h5": volume.getvalue(),
        "surface.npz": surface.getvalue(),
        "forces.csv": forces.encode(),
    }


def objects() -> dict[str, bytes]:
    """Return the objects of the bucket by key: 19 below `train/`, and one beside it."""
    cases = {f"train/case_{number:03}": _case(number) for number in range(_CASES)}
    found = {
        f"{case}/{name}": data for case, files in cases.items() for name, data in files.items()
    }
    index = "case,split\n" + "".join(f"case_{number:03},train\n" for number in range(_CASES))
    return {**found, "train/index.csv": index.encode(), "val/index.csv": b"case,split\n"}


def _fill(client: Any, contents: dict[str, bytes]) -> None:
    with urlopen(Request(f"{ENDPOINT_URL}/moto-api/reset", method="POST"), timeout=10):
        pass
    client.create_bucket(Bucket=_BUCKET)
    for key, data in contents.items():
        client.put_object(Bucket=_BUCKET, Key=key, Body=data)


def main() -> None:
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - as above

    from tests.support.stores import s3_client  # noqa: PLC0415 - as above

    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=PORT, verbose=False)
    server.start()
    client, contents = s3_client(ENDPOINT_URL), objects()
    for _line in sys.stdin:
        _fill(client, contents)
        print(FILLED, flush=True)
    client.close()
    server.stop()


if __name__ == "__main__":
    main()
