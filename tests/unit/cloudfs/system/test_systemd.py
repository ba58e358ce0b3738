"""Notifications of the service manager, on a real datagram socket."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from cloudfs.system.systemd import STATUS_EVERY_S, ServiceManager


class Listener:
    """The manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def received(self) -> list[str]:
        """The messages that have come since the last call."""
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    folder = str(tmp_path / "notify")
    listening = Listener(folder if request.param == "path" else f"@cloudfs-test-{os.getpid()}")
    yield listening
    listening.close()


def test_ready_and_the_line_are_one_message(listener: Listener) -> None:
    ServiceManager(listener.address).ready("all well")
    assert listener.received() == ["READY=1\nSTATUS=all well"]


def test_a_line_is_sent_when_it_changes(listener: Listener) -> None:
    manager = ServiceManager(listener.address)
    manager.ready("a")
    for status in ("a", "b", "b", "a"):
        manager.show(status)
    assert listener.received()[1:] == ["STATUS=b", "STATUS=a"]


def test_a_reload_says_when_it_began(listener: Listener) -> None:
    ServiceManager(listener.address).reloading()
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=[0-9]+", *listener.received())


def test_stopping_asks_for_the_time_that_it_takes(listener: Listener) -> None:
    ServiceManager(listener.address).stopping(5.5, "ending")
    assert listener.received() == ["STOPPING=1\nEXTEND_TIMEOUT_USEC=5500000\nSTATUS=ending"]


def test_a_line_stays_one_line(listener: Listener) -> None:
    ServiceManager(listener.address).ready("/mnt/a\nSTOPPING=1\udcff" + "x" * 10_000)
    (message,) = listener.received()
    assert message.startswith("READY=1\nSTATUS=/mnt/a\\nSTOPPING=1\\udcffxxx")
    assert len(message) < 600


@pytest.mark.parametrize("address", [None, "/nowhere/at/all", "/" + "long" * 100, "@", "relative"])
def test_a_manager_that_does_not_listen_is_no_error(address: str | None) -> None:
    ServiceManager(address).ready("all well")


def test_a_manager_that_has_stopped_reading_blocks_nothing(listener: Listener) -> None:
    manager = ServiceManager(listener.address)
    limit = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    if limit > 1000:
        pytest.skip(f"queues hold {limit} messages here")
    for number in range(limit + 3):
        manager.show(str(number))
    assert 0 < len(listener.received()) < limit + 3


def test_the_environment_is_consumed(listener: Listener) -> None:
    own = {"NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": "30000000", "HOME": "/root"}
    manager = ServiceManager.from_environment(own)
    manager.show("received")
    assert manager.watchdog_s == 30
    assert own == {"HOME": "/root"}
    assert listener.received() == ["STATUS=received"]


@pytest.mark.parametrize(
    ("variables", "expected_s"),
    [
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}, 2),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_for_the_process_it_names(
    variables: dict[str, str], expected_s: float | None
) -> None:
    assert ServiceManager.from_environment(variables).watchdog_s == expected_s


def test_watchdog_notifications_come_twice_as_often_as_asked(
    listener: Listener, autojump_clock: trio.testing.MockClock
) -> None:
    async def live() -> None:
        with trio.move_on_after(9):
            await ServiceManager(listener.address, 4).keep_alive()

    trio.run(live, clock=autojump_clock)
    assert listener.received() == ["WATCHDOG=1"] * 5


def test_the_line_is_shown_when_it_is_another(
    listener: Listener, autojump_clock: trio.testing.MockClock
) -> None:
    lines = iter(["one", "one", "two"])

    async def live() -> None:
        with trio.move_on_after(3.5 * STATUS_EVERY_S):
            await ServiceManager(listener.address).show_status(lambda: next(lines))

    trio.run(live, clock=autojump_clock)
    assert listener.received() == ["STATUS=one", "STATUS=two"]


@pytest.fixture
def autojump_clock() -> trio.testing.MockClock:
    return trio.testing.MockClock(autojump_threshold=0)
