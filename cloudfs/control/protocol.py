"""The protocol of the control socket: commands, messages, limits and errors of both sides.

A request is one line, `{"command": str, "arguments": {...}}`, and its reply is one line,
`{"ok": true, "result": {...}}` or `{"ok": false, "error": "...", "exit_code": int}`. Arguments and
results are structs that a `Command` names; what arrives is checked against them. Nothing here
imports trio: `cloudfs status` starts with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import msgspec

from cloudfs.errors import ExitCode

LINE_BYTES_MAX: Final = 1024 * 1024
HANDLER_S_MAX: Final = 30.0
"""The longest that a daemon works for one reply."""

ArgumentsT = TypeVar("ArgumentsT")
ResultT = TypeVar("ResultT")
MessageT = TypeVar("MessageT")


class ControlError(Exception):
    """A daemon that did not give a result; the message says why, in one line."""


class NoDaemonError(ControlError):
    """No process listens: there is no socket, or its daemon has ended."""


class NotAnsweringError(ControlError):
    """The daemon accepted the connection but did not reply before the timeout."""


class NotPermittedError(ControlError):
    """The socket belongs to another user."""


class BadMessageError(ControlError):
    """A line that is not what the protocol, or the command, says."""


class OtherSchemaError(ControlError):
    """A result of a daemon of another version, which has another schema."""

    def __init__(self, result: Mapping[str, Any], expected: int) -> None:
        super().__init__(f"schema {result.get('schema')}, and this command is made for {expected}")
        self.result = result


class RefusedError(ControlError):
    """The daemon replied with an error; the command line ends with `exit_code` then."""

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class NoArguments(msgspec.Struct, frozen=True):
    """The arguments of a command that takes none."""


class NoResult(msgspec.Struct, frozen=True):
    """The result of a command that has none."""


@dataclass(frozen=True, slots=True)
class Command(Generic[ArgumentsT, ResultT]):
    """A command by its name on the wire, with the types of its arguments and of its result.

    A result whose type has a `schema` is read only when it has this number there.
    """

    name: str
    arguments: type[ArgumentsT]
    result: type[ResultT]
    schema: int | None = None


class ControlRequest(msgspec.Struct, frozen=True):
    """One line to the daemon."""

    command: str
    arguments: dict[str, Any] = {}


class ControlReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the daemon: `result` when it is `ok`, else `error` and `exit_code`."""

    ok: bool
    result: dict[str, Any] | None = None
    error: str = ""
    exit_code: int = 0


def encode(message: msgspec.Struct) -> bytes:
    """Return a message as a line."""
    # Not msgspec's own encoder: names that are not UTF-8 travel as surrogate escapes (PEP 383).
    return json.dumps(msgspec.to_builtins(message)).encode() + b"\n"


def decode(line: bytes, kind: type[MessageT]) -> MessageT:
    """Return the message in a line, or raise `BadMessageError`."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise BadMessageError("not a line of JSON") from None
    return convert(value, kind)


def convert(value: object, kind: type[MessageT]) -> MessageT:
    """Return the value of a message as `kind`, or raise `BadMessageError` with what is wrong."""
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, UnicodeError) as error:
        raise BadMessageError(str(error)) from None
