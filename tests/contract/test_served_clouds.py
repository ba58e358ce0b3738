"""The clients against the benchmarks' object server, which has the interfaces of S3, GCS and Azure.

Not the whole contract: the requests of a mount, and that obstore reads the bytes. For GCS this is
the only server of these tests that responds as obstore needs it.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import pytest

from cloudfs_backends.api import ListPage, ObjectInfo, StoreOptions
from cloudfs_backends.azure.client import AzureClient
from cloudfs_backends.common.introspection import StoreInspector
from cloudfs_backends.common.obstore_reads import RangeRead
from cloudfs_backends.errors import ObjectChangedError, ObjectNotFoundError
from cloudfs_backends.gcs.client import GcsClient
from cloudfs_backends.registry import open_inspector
from cloudfs_backends.s3.client import S3Client
from cloudfs_backends.url import parse_url
from cloudfs_benchmarks.servers.dialects import DIALECTS
from cloudfs_benchmarks.servers.store import Served
from tests.contract.in_trio import in_trio
from tests.contract.world import DATA, all_pages, keys, prefixes, read
from tests.support.environment import environment, without_credentials
from tests.support.served import serving

_CLIENTS = {"s3": S3Client, "gs": GcsClient, "az": AzureClient}
_numbers = itertools.count(1)
_seconds = itertools.count(1_700_000_000)


class _World:
    """A store on a prefix of its own, and the folder that is behind it."""

    def __init__(self, served: Served, scheme: str) -> None:
        prefix = f"test-{next(_numbers)}"
        self._folder = served.root / prefix
        self._folder.mkdir()
        store = served.store(scheme)
        url, options = f"{store.url}/{prefix}", _options(store.flags)
        self.store: StoreInspector = open_inspector(url, options)
        self._client = _CLIENTS[scheme](parse_url(url), options)

    def put(self, key: str, data: bytes) -> None:
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        # nginx tells versions apart by size and second.
        second = next(_seconds)
        os.utime(path, (second, second))

    def delete(self, key: str) -> None:
        (self._folder / key).unlink()

    def read_by_sdk(self, info: ObjectInfo, start: int, stop: int) -> bytes:
        return b"".join(self._client.read_sdk(RangeRead(info.key, start, stop, info.etag)))

    async def assert_read_by_obstore(self) -> None:
        assert (await self.store.locate()).byte_path == "obstore"


def _options(flags: tuple[str, ...]) -> StoreOptions:
    """What `cloudfs mount` would make of the flags."""
    values: dict[str, object] = {}
    for flag, following in itertools.pairwise((*flags, "--")):
        if flag.startswith("--"):
            name = flag.removeprefix("--").replace("-", "_")
            values[name] = True if following.startswith("--") else following
    return StoreOptions(**values)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture(params=[dialect.name for dialect in DIALECTS])
def world(request: pytest.FixtureRequest, served: Served) -> Iterator[_World]:
    credentials = served.store(request.param).environment
    with environment({**without_credentials(os.environ), **credentials}):
        yield _World(served, request.param)


@in_trio
async def test_names_over_many_pages(world: _World) -> None:
    files = ["a%20b", "a+b&c=d;e", "f00", "f01", "f02", "q'u\"o", "sp ace", "é", "日本.h5", "😀"]
    folders = [f"d{number}/" for number in range(5)]
    for key in [*files, *(folder + name for folder in folders for name in ("x", "y/z"))]:
        world.put(key, b"1")
    await world.store.probe()
    pages = await all_pages(world.store, "", delimiter="/", limit=3)
    assert len(pages) == 5
    assert (keys(pages), prefixes(pages)) == (sorted(files, key=os.fsencode), folders)
    assert len(keys(await all_pages(world.store, "", limit=4))) == 20
    inner = await all_pages(world.store, "d3/", delimiter="/", limit=1)
    assert (keys(inner), prefixes(inner)) == (["d3/x"], ["d3/y/"])
    assert await world.store.list_page("none/", delimiter="/") == ListPage((), (), None)
    await world.store.aclose()


@in_trio
async def test_what_is_listed_is_read_by_obstore(world: _World) -> None:
    for name in ("a%20b", "d/key", "sp ace", "é+&", "x" * 200):
        world.put(name, DATA)
    pages = await all_pages(world.store, "", limit=2)
    for info in (info for page in pages for info in page.objects):
        head = await world.store.head(info.key)
        assert (head.size, head.etag) == (info.size, info.etag) == (len(DATA), head.etag)
        for start, stop in ((0, 1), (262_143, 262_145), (0, len(DATA))):
            assert await read(world.store, info.key, start, stop, info.etag) == DATA[start:stop]
    await world.assert_read_by_obstore()
    await world.store.aclose()


@in_trio
async def test_overwritten_object_is_not_read_as_the_old_version(world: _World) -> None:
    world.put("data", DATA)
    old = await world.store.head("data")
    world.put("data", DATA[::-1])
    with pytest.raises(ObjectChangedError) as caught:
        await read(world.store, "data", 0, 100, old.etag)
    assert caught.value.http_code in {404, 412}  # by the server, before it sent anything
    new = await world.store.head("data")
    assert new.etag != old.etag
    assert await read(world.store, "data", 0, 100, new.etag) == DATA[::-1][:100]
    await world.assert_read_by_obstore()
    await world.store.aclose()


@in_trio
async def test_the_sdk_reads_the_same(world: _World) -> None:
    """What obstore does not read: see `ReadRoute`."""
    world.put("d/sp ace", DATA)
    old = await world.store.head("d/sp ace")
    for start, stop in ((0, 1), (262_143, 262_145), (0, len(DATA))):
        assert world.read_by_sdk(old, start, stop) == DATA[start:stop]
    world.put("d/sp ace", DATA[::-1])
    with pytest.raises(ObjectChangedError) as caught:
        world.read_by_sdk(old, 0, 100)
    assert caught.value.http_code == 412
    await world.store.aclose()


@in_trio
async def test_what_is_not_there_is_not_found(world: _World) -> None:
    world.put("d/data", DATA)
    etag = (await world.store.head("d/data")).etag
    world.delete("d/data")
    for key in ("d/data", "none", "d"):
        with pytest.raises(ObjectNotFoundError):
            await world.store.head(key)
        with pytest.raises(ObjectNotFoundError):
            await read(world.store, key, 0, 1, etag)
    await world.assert_read_by_obstore()
    await world.store.aclose()


@in_trio
async def test_range_past_the_end_means_that_it_shrank(world: _World) -> None:
    world.put("short", b"0123456789")
    for start, stop in ((5, 20), (10, 11), (50, 60)):
        with pytest.raises(ObjectChangedError):
            await read(world.store, "short", start, stop, None)
    await world.assert_read_by_obstore()
    await world.store.aclose()
