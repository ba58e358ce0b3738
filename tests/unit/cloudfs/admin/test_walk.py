from __future__ import annotations

from collections.abc import Sequence

from cloudfs.admin.walk import Walk
from cloudfs.config import globs
from cloudfs_backends.api import ObjectInfo
from cloudfs_backends.errors import AccessDeniedError, UnavailableError
from tests.contract.in_trio import in_trio_autojump
from tests.support.memory_store import Fail, MemoryStore


class Notes:
    """A visitor that writes down what it is told."""

    def __init__(self) -> None:
        self.files: list[tuple[str, str]] = []
        self.hidden_keys = 0
        self.failures: dict[str, str] = {}

    async def found(self, path: str, files: Sequence[ObjectInfo]) -> None:
        assert files
        self.files += [(path, info.key) for info in files]

    def hidden(self, count: int) -> None:
        self.hidden_keys += count

    def failed(self, path: str, reason: str) -> None:
        self.failures[path] = reason

    @property
    def keys(self) -> list[str]:
        return sorted(key for _, key in self.files)


def store_of(*keys: str) -> MemoryStore:
    store = MemoryStore()
    for key in keys:
        store.put(key, b"x")
    return store


async def visit(store: MemoryStore, *paths: str, patterns: Sequence[str] = ()) -> Notes:
    notes = Notes()
    await Walk(store, globs.any_of(patterns), notes).visit_all(paths)
    return notes


@in_trio_autojump
async def test_a_tree_is_listed_flat() -> None:
    store = store_of(*(f"t/{i // 10}/{i}" for i in range(2500)), "tt", "s/x")
    notes = await visit(store, "t")
    assert len(notes.files) == 2500
    assert {path for path, _ in notes.files} == {"t"}
    assert (store.count("list"), store.count("head")) == (3, 0)


@in_trio_autojump
async def test_the_root_is_a_tree_even_when_it_is_empty() -> None:
    assert (await visit(store_of("a", "b/c"), "")).keys == ["a", "b/c"]
    notes = await visit(store_of(), "")
    assert (notes.files, notes.failures) == ([], {})


@in_trio_autojump
async def test_a_file_a_name_that_is_not_there_and_an_empty_directory() -> None:
    notes = await visit(store_of("a", "ab", "d/"), "a", "none", "d")
    assert notes.files == [("a", "a")]
    assert notes.failures == {"none": "no such file or directory"}


@in_trio_autojump
async def test_a_directory_wins_over_a_file_of_its_name() -> None:
    assert (await visit(store_of("a", "a/b"), "a")).keys == ["a/b"]


@in_trio_autojump
async def test_what_no_path_can_name_is_left_out_and_markers_are_no_files() -> None:
    notes = await visit(store_of("d/", "d/a", "d//b", "d/../c", "d/./e", "d/" + "n" * 256), "d")
    assert notes.keys == ["d/a"]
    assert notes.hidden_keys == 4


@in_trio_autojump
async def test_patterns_are_relative_to_the_path_that_was_given() -> None:
    store = store_of("d/train/a.h5", "d/train/b.txt", "d/test/c.h5", "x.h5", "y.txt")
    assert (await visit(store, "d", patterns=["train/*.h5"])).keys == ["d/train/a.h5"]
    assert (await visit(store, "d", patterns=["*.txt", "test/**"])).keys == [
        "d/test/c.h5",
        "d/train/b.txt",
    ]
    assert (await visit(store, "x.h5", "y.txt", patterns=["*.h5"])).keys == ["x.h5"]


@in_trio_autojump
async def test_many_files_of_one_folder_are_found_in_its_listing() -> None:
    names = [f"d/{i:04}" for i in range(2000)]
    store = store_of(*names, "d/0007/x", "other")
    asked = [*names[:1500], "d/none"]
    notes = await visit(store, *asked, "other")
    assert notes.keys == sorted([*names[:7], *names[8:1500], "d/0007/x", "other"])
    assert notes.failures == {"d/none": "no such file or directory"}
    # Three pages of the folder; then the directory, the name that is not there, and the other.
    assert store.count("list") == 3 + 3
    assert store.count("head") == 2


@in_trio_autojump
async def test_a_folder_much_larger_than_the_list_is_not_listed_to_its_end() -> None:
    store = store_of(*(f"d/{i:05}" for i in range(10_000)))
    asked = [f"d/{i:05}" for i in range(9990, 9998)]
    notes = await visit(store, *asked)
    assert notes.keys == asked
    assert store.count("list") == 3 + len(asked)


@in_trio_autojump
async def test_paths_that_are_given_twice_are_visited_once() -> None:
    assert (await visit(store_of("a"), "a", "a")).files == [("a", "a")]


@in_trio_autojump
async def test_an_error_of_the_store_is_told_of_its_path_and_the_others_go_on() -> None:
    store = store_of("a", "b")
    store.script("list", Fail(UnavailableError("503")))
    store.script("head", Fail(AccessDeniedError("403")))
    notes = Notes()
    walk = Walk(store, globs.any_of([]), notes)
    for path in ("a", "b", "b"):
        await walk.visit(path)
    assert notes.failures["a"].startswith("503: check the network")
    assert notes.failures["b"].startswith("403: grant this identity")
    assert notes.files == [("b", "b")]


@in_trio_autojump
async def test_when_a_folder_cannot_be_listed_its_paths_are_asked_for() -> None:
    store = store_of(*"abcdefgh")
    store.script("list", Fail(AccessDeniedError("403")))
    assert (await visit(store, *"abcdefgh")).keys == list("abcdefgh")
