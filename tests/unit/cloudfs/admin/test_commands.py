from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from cloudfs.admin import commands
from cloudfs.admin.jobs import Jobs
from cloudfs.admin.messages import JOB_WAIT_S_MAX, JobStatus
from cloudfs.config.path_policy import PathPolicies, PolicyTable
from cloudfs.control.protocol import BadMessageError, convert
from cloudfs.errors import ExitCode, UserError
from cloudfs_cache.api import BLOCK_BYTES, KeyRange
from tests.contract.in_trio import in_trio_autojump
from tests.support.memory_store import MemoryStore, Stall
from tests.unit.cloudfs.admin.simple_cache import DIRECTORY, SimpleCache, SimpleNames


class Mount:
    """The commands of a mount of a small dataset."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.store = MemoryStore()
        for number in range(5):
            self.store.put(f"train/{number}.h5", bytes(BLOCK_BYTES))
        self.store.put("notes.txt", b"read me")
        self.cache = SimpleCache(self.store)
        self.names = SimpleNames()
        policies = PathPolicies([PolicyTable("*.txt", pin=True)])
        routes = commands.routes(self.store, self.cache, policies, self.names, Jobs(nursery))
        self._routes = {route.command.name: route for route in routes}

    async def __call__(self, command: str, **arguments: object) -> dict[str, Any]:
        """Ask as the socket does: results are JSON, of the type that the command names."""
        route = self._routes[command]
        result = json.loads(json.dumps(await route.result(arguments)))
        found = convert(result, route.command.result)
        values = found.as_values() if isinstance(found, JobStatus) else result
        return json.loads(json.dumps(values))  # type: ignore[no-any-return]

    async def ended(self, command: str, **arguments: object) -> dict[str, Any]:
        """Ask for a job and return it once it has ended."""
        document = await self(command, **arguments)
        while document["state"] == "running":
            document = await self("job", job=document["job"], wait_s=1)
        return document


@asynccontextmanager
async def mounted() -> AsyncIterator[Mount]:
    async with trio.open_nursery() as nursery:
        yield Mount(nursery)
        nursery.cancel_scope.cancel()


@in_trio_autojump
async def test_what_is_local_is_counted_for_each_path() -> None:
    async with mounted() as ask:
        await ask.ended("warmup", paths=["train/1.h5", "train/2.h5"])
        await ask("cache-pin", paths=["train/2.h5"])
        answer = await ask("local", paths=["train", "train/1.h5", "notes.txt", "none", ""])
        zeros = {"files": 0, "bytes": 0, "local_files": 0, "local_bytes": 0, "pinned_bytes": 0}
        assert answer["state"] == "done"
        assert answer["paths"] == [
            {
                "path": "train",
                "files": 5,
                "bytes": 5 * BLOCK_BYTES,
                "local_files": 2,
                "local_bytes": 2 * BLOCK_BYTES,
                "pinned_bytes": BLOCK_BYTES,
                "error": "",
            },
            {
                "path": "train/1.h5",
                "files": 1,
                "bytes": BLOCK_BYTES,
                "local_files": 1,
                "local_bytes": BLOCK_BYTES,
                "pinned_bytes": 0,
                "error": "",
            },
            {**zeros, "path": "notes.txt", "files": 1, "bytes": 7, "pinned_bytes": 7, "error": ""},
            {**zeros, "path": "none", "error": "no such file or directory"},
            {
                "path": "",
                "files": 6,
                "bytes": 5 * BLOCK_BYTES + 7,
                "local_files": 2,
                "local_bytes": 2 * BLOCK_BYTES,
                "pinned_bytes": BLOCK_BYTES + 7,
                "error": "",
            },
        ]


@in_trio_autojump
async def test_a_count_that_takes_long_goes_on_as_a_job() -> None:
    async with mounted() as ask:
        stall = Stall()
        ask.store.script("list", stall)
        answer = await ask("local", paths=["train"])
        assert (answer["state"], trio.current_time()) == ("running", JOB_WAIT_S_MAX)
        stall.released.set()
        ended = await ask("job", job=answer["job"], wait_s=10)
        assert (ended["state"], ended["paths"][0]["files"]) == ("done", 5)


@in_trio_autojump
async def test_a_warm_up_answers_at_once_and_is_followed_by_its_id() -> None:
    async with mounted() as ask:
        ask.store.latency_s = 1
        started = await ask("warmup", paths=["train"])
        assert (started["state"], started["files_done"]) == ("running", 0)
        assert trio.current_time() == 0
        ended = await ask("job", job=started["job"], wait_s=10)
        assert (ended["state"], ended["files_done"]) == ("done", 5)


@in_trio_autojump
async def test_a_warm_up_can_be_cancelled_and_repeated() -> None:
    async with mounted() as ask:
        ask.store.script("get", *[Stall() for _ in range(3)])
        started = await ask("warmup", paths=["train"])
        await trio.testing.wait_all_tasks_blocked()
        ended = await ask("job", job=started["job"], cancel=True, wait_s=1)
        assert (ended["state"], ended["files_done"]) == ("cancelled", 2)
        again = await ask.ended("warmup", paths=["train"])
        assert (again["files_done"], again["fetched_bytes"]) == (5, 3 * BLOCK_BYTES)


@in_trio_autojump
async def test_paths_are_added_to_a_warm_up() -> None:
    async with mounted() as ask:
        started = await ask("warmup", paths=["train/0.h5"], more=True)
        answer = await ask("warmup-add", job=started["job"], paths=["train/1.h5"], more=False)
        assert answer["taken"]
        ended = await ask("job", job=started["job"], wait_s=5)
        assert (ended["state"], ended["files_total"]) == ("done", 2)
        # Its client need not know that it has ended.
        assert (await ask("warmup-add", job=started["job"], paths=["x"], more=True))["taken"]


@in_trio_autojump
async def test_a_warm_up_without_a_disk_is_refused_and_a_check_is_not() -> None:
    async with mounted() as ask:
        ask.cache.is_off = True
        with pytest.raises(UserError, match="no disk cache"):
            await ask("warmup", paths=["train"])
        assert (await ask.ended("warmup", paths=["train"], check=True))["files_total"] == 5


@in_trio_autojump
async def test_pins_come_and_go() -> None:
    async with mounted() as ask:
        await ask("cache-pin", paths=["train", ""])
        assert await ask.cache.pins() == [KeyRange("train", True), KeyRange("", True)]
        assert await ask("cache-unpin", paths=["train", "other"]) == {"unknown": ["other"]}
        assert await ask.cache.pins() == [KeyRange("", True)]
        await ask("cache-pin", paths=["train/1.h5"])
        assert await ask("cache-unpin", paths=["train"]) == {"unknown": []}
        assert await ask.cache.pins() == [KeyRange("", True)]


@in_trio_autojump
async def test_evicting_says_what_it_freed() -> None:
    async with mounted() as ask:
        await ask.ended("warmup", paths=[""])
        await ask("cache-pin", paths=["train/2.h5"])
        answer = await ask("cache-evict", paths=["train/1.h5", "train/2.h5"])
        assert (answer["state"], answer["freed_bytes"]) == ("done", BLOCK_BYTES)
        assert ask.cache.used_bytes == 4 * BLOCK_BYTES + 7


@in_trio_autojump
async def test_invalidating_is_about_names() -> None:
    async with mounted() as ask:
        assert await ask("cache-invalidate", paths=["train", ""]) == {"names": 3}
        assert ask.names.invalidated == [KeyRange("train", True), KeyRange("", True)]


@in_trio_autojump
async def test_verifying_reports_what_it_found() -> None:
    async with mounted() as ask:
        await ask.ended("warmup", paths=["train"])
        ask.cache.corrupt.add("train/3.h5")
        ended = await ask.ended("cache-verify")
        assert ended["report"] == {
            "blocks": 5, "bytes": 5 * BLOCK_BYTES, "corrupt": 1, "missing": 0, "orphans": 0,
        }  # fmt: skip
        assert (ended["blocks_total"], ended["blocks_done"]) == (5, 5)


@in_trio_autojump
async def test_the_information_has_directories_pins_policies_and_jobs() -> None:
    async with mounted() as ask:
        ended = await ask.ended("warmup", paths=["train"])
        await ask("cache-pin", paths=["train"])
        answer = await ask("cache-info")
        (directory,) = answer["directories"]
        assert (directory["directory"], directory["state"]) == (DIRECTORY, "ok")
        assert directory["stores"][0]["objects"] == 5
        assert (answer["pins"], answer["pins_total"]) == (["train"], 1)
        assert answer["policies"] == ["*.txt: pin = true"]
        assert answer["jobs"] == [
            {
                "job": ended["job"],
                "kind": "warmup",
                "state": "done",
                "elapsed_s": 0.0,
                "error": "",
                "exit_code": 0,
            }
        ]
        assert answer["url"] == ask.store.url


@in_trio_autojump
async def test_a_disk_that_does_not_answer_is_one_line() -> None:
    async with mounted() as ask:
        ask.cache.state = "bypassed"
        said = "cache directory /ssd: it does not answer"
        with pytest.raises(UserError, match=said) as caught:
            await ask("cache-unpin", paths=["train"])
        assert caught.value.exit_code is ExitCode.CACHE
        ended = await ask.ended("cache-verify")
        assert (ended["state"], ended["exit_code"]) == ("failed", ExitCode.CACHE)
        assert ended["error"] == said
        # What can be said without the disk is said.
        assert (await ask.ended("local", paths=["train"]))["paths"][0]["files"] == 5
        answer = await ask("cache-info")
        assert (answer["directories"][0]["state"], answer["problem"]) == ("bypassed", said)


@in_trio_autojump
async def test_a_mount_without_a_disk_can_be_asked() -> None:
    async with mounted() as ask:
        ask.cache.is_off = True
        answer = await ask("cache-info")
        assert (answer["directories"], answer["pins"], answer["problem"]) == ([], [], "")
        assert (await ask("local", paths=[""]))["paths"][0]["files"] == 6


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        ("local", {"paths": "train"}, "paths"),
        ("local", {"paths": [1]}, "paths"),
        ("local", {"paths": ["x"] * 101}, "paths"),
        ("cache-pin", {"paths": ["/train"]}, "'/train'"),
        ("cache-pin", {"paths": ["train/"]}, "'train/'"),
        ("cache-pin", {}, "paths"),
        ("cache-evict", {"paths": ["a/../b"]}, "a/../b"),
        ("warmup", {"paths": [], "globs": ["["]}, r"'\['"),
        ("warmup", {"paths": [], "rate_bytes_s": 0}, "rate_bytes_s"),
        ("warmup", {"paths": [], "rate_bytes_s": True}, "rate_bytes_s"),
        ("warmup", {"paths": [], "check": 1}, "check"),
        ("job", {"job": "x"}, "'x'"),
        ("job", {"job": "x", "wait_s": 11}, "wait_s"),
        ("job", {}, "job"),
    ],
)
def test_wrong_arguments_are_one_line(
    command: str, arguments: Mapping[str, object], said: str
) -> None:
    @in_trio_autojump
    async def run() -> None:
        async with mounted() as ask:
            with pytest.raises((UserError, BadMessageError), match=said) as caught:
                await ask(command, **arguments)
            assert "\n" not in str(caught.value)

    run()
