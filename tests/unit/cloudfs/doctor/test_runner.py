"""The runner of checks: dependencies, time limits and failures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from cloudfs.config.settings import resolve
from cloudfs.doctor import runner
from cloudfs.doctor.checks.registry import MACHINE_CHECKS, STORE_CHECKS
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, Result, failure, ok, skipped, warning
from cloudfs.doctor.report import Report, ReportEntry, Section
from cloudfs.doctor.runner import Check, run_checks
from cloudfs.errors import ExitCode
from cloudfs_backends.errors import ThrottledError
from cloudfs_backends.local.client import LocalClient
from cloudfs_backends.wrappers.store import PipelinedStore
from tests.contract.in_trio import in_trio, in_trio_autojump

FAILED = failure(ExitCode.BUCKET, "broken", "fix it")


def context(**environ: str) -> Context:
    return Context(resolve("s3://bucket", None, required=("url",)), environ)


def finds(finding: Finding) -> Callable[[Context], Awaitable[Finding]]:
    async def run(_: Context) -> Finding:
        return finding

    return run


async def results(*checks: Check) -> list[tuple[str, Result, str]]:
    """Return check and result of each finding, and the last word of its text: what it names."""
    entries = await run_checks(context(), checks, lambda _: None)
    return [(e.check, e.finding.result, e.finding.text.split()[-1]) for e in entries]


@in_trio
async def test_what_needs_a_failed_check_is_skipped_and_names_the_first_cause() -> None:
    assert await results(
        Check("a", finds(FAILED)),
        Check("b", finds(ok("b")), frozenset({"a"})),
        Check("c", finds(ok("c")), frozenset({"b"})),
        Check("d", finds(ok("d"))),
    ) == [
        ("a", Result.FAILURE, "broken"),
        ("b", Result.SKIPPED, "a"),
        ("c", Result.SKIPPED, "a"),
        ("d", Result.OK, "d"),
    ]


@in_trio
async def test_a_warning_and_a_check_that_skips_itself_keep_nothing_back() -> None:
    assert await results(
        Check("a", finds(warning("so so", "fix it"))),
        Check("b", finds(skipped("nothing to see"))),
        Check("c", finds(ok("c")), frozenset({"a", "b"})),
    ) == [
        ("a", Result.WARNING, "so"),
        ("b", Result.SKIPPED, "see"),
        ("c", Result.OK, "c"),
    ]


@in_trio
async def test_each_finding_is_shown_as_soon_as_it_is_there() -> None:
    shown: list[str] = []

    async def second(_: Context) -> Finding:
        assert shown == ["a"]
        return ok("b")

    checks = [Check("a", finds(ok("a"))), Check("b", second)]
    await run_checks(context(), checks, lambda one: shown.append(one.check))
    assert shown == ["a", "b"]


async def hang(_: Context) -> Finding:
    await trio.sleep_forever()
    raise AssertionError


@in_trio_autojump
async def test_a_check_that_hangs_times_out() -> None:
    started = trio.current_time()
    (hung,) = await run_checks(context(), [Check("a", hang, timeout_s=7)], lambda _: None)
    assert trio.current_time() - started == pytest.approx(7)
    assert "7 s" in hung.finding.text
    assert hung.finding.exit_code is ExitCode.UNREACHABLE


@in_trio_autojump
async def test_a_check_that_hangs_has_the_fix_of_its_kind() -> None:
    check = Check(
        "a", hang, section=Section.MACHINE, timeout_code=ExitCode.CACHE, timeout_fix="a disk"
    )
    (hung,) = await run_checks(context(), [check], lambda _: None)
    assert (hung.finding.fix, hung.finding.exit_code) == ("a disk", ExitCode.CACHE)
    assert hung.section is Section.MACHINE


@in_trio
async def test_a_check_may_find_several_things() -> None:
    async def several(_: Context) -> list[Finding]:
        return [ok("one"), FAILED]

    assert await results(Check("a", several), Check("b", finds(ok("b")), frozenset({"a"}))) == [
        ("a", Result.OK, "one"),
        ("a", Result.FAILURE, "broken"),
        ("b", Result.SKIPPED, "a"),
    ]


@in_trio_autojump
async def test_all_checks_together_are_bounded() -> None:
    started = trio.current_time()
    checks = [Check(f"{number}", hang, timeout_s=25) for number in range(5)]
    done = await run_checks(context(), checks, lambda _: None)
    assert trio.current_time() - started == pytest.approx(runner.ALL_S_MAX)
    assert [one.finding.result for one in done] == [Result.FAILURE] * 3 + [Result.SKIPPED] * 2
    for one, limit in zip(done, ("25 s", "25 s", "10 s", "time limit", "time limit"), strict=True):
        assert limit in one.finding.text


@in_trio_autojump
async def test_what_a_mount_does_not_need_may_hang() -> None:
    assert await results(
        Check("a", hang, timeout_s=7, required=False), Check("b", finds(ok("b")), frozenset({"a"}))
    ) == [("a", Result.WARNING, "s"), ("b", Result.OK, "b")]


@in_trio
async def test_an_error_of_the_store_is_a_failure_with_the_code_of_mount() -> None:
    async def refused(_: Context) -> Finding:
        raise ThrottledError("SlowDown", operation="list", http_code=503, request_id="id")

    (found,) = await run_checks(context(), [Check("a", refused)], lambda _: None)
    assert found.finding.text == "SlowDown (HTTP 503)"
    assert found.finding.fix == ThrottledError.advice
    assert found.finding.exit_code is ExitCode.UNREACHABLE
    facts = {"error": "ThrottledError", "http_code": 503, "request_id": "id"}
    assert found.finding.facts == facts


@in_trio
async def test_findings_are_shown_without_secrets() -> None:
    secret = "hunter2hunter2"
    said = warning(f"{secret} a", f"{secret} b", fact=[f"{secret} c"])
    shown: list[ReportEntry] = []
    subject = context(AWS_SECRET_ACCESS_KEY=secret)
    done = await run_checks(subject, [Check("a", finds(said))], shown.append)
    assert shown == done
    assert (done[0].finding.text, done[0].finding.fix) == ("*** a", "*** b")
    assert done[0].finding.facts == {"fact": ["*** c"]}


@in_trio
async def test_a_bug_is_not_hidden() -> None:
    async def bug(_: Context) -> Finding:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        await run_checks(context(), [Check("a", bug)], lambda _: None)


@in_trio
async def test_the_store_is_closed(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"data")
    subject = Context(resolve(f"file://{tmp_path}", None, required=("url",)), {})
    await run_checks(subject, STORE_CHECKS, lambda _: None)
    assert isinstance(subject.opened_store, PipelinedStore)
    client = subject.opened_store.client
    assert isinstance(client, LocalClient)
    assert not client._buffers  # a read has made one, and closing frees it


def test_every_check_needs_only_earlier_ones() -> None:
    names: list[str] = []
    for check in (*MACHINE_CHECKS, *STORE_CHECKS):
        assert check.name not in names
        assert check.needs <= set(names), check.name
        names.append(check.name)


@pytest.mark.parametrize(
    ("findings", "named", "code"),
    [
        ([ok("a")], "mount it", ExitCode.OK),
        ([ok("a"), warning("b", "c")], "1 warning: mount it", ExitCode.OK),
        ([warning("b", "c"), FAILED], "1 problem", ExitCode.BUCKET),
        ([FAILED, failure(ExitCode.CACHE, "b", "c")], "2 problems", ExitCode.BUCKET),
    ],
)
def test_the_verdict_and_the_code_follow_from_the_findings(
    findings: list[Finding], named: str, code: ExitCode
) -> None:
    entries = [ReportEntry(f"{number}", one, 0.0) for number, one in enumerate(findings)]
    report = Report("s3://bucket", "mount it", entries)
    assert report.exit_code is code
    assert report.verdict.endswith(named)
    without_url = Report("", "mount it", entries)
    assert without_url.exit_code is code
    assert "mount it" not in without_url.verdict


@pytest.mark.parametrize(
    "arguments",
    [
        (Result.OK, "a", "fix it"),
        (Result.WARNING, "a"),
        (Result.FAILURE, "a", "fix it"),
        (Result.WARNING, "a", "fix it", ExitCode.CACHE),
    ],
)
def test_a_finding_cannot_contradict_itself(arguments: tuple[Result, str]) -> None:
    with pytest.raises(ValueError, match="belongs to"):
        Finding(*arguments)
