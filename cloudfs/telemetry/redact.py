"""Redaction of secrets in what is shown or logged: an SDK's error may quote a URL or a variable.

Findings, statuses and log messages are written without secrets; this is the net below them. It
hides text that has the shape of a secret, and the values of the secret variables of an environment.
Names stay: access key ids, accounts, roles.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

HIDDEN: Final = "***"

_NAMES: Final = re.compile(
    r"(AWS|AZURE|GOOGLE)_.*(SECRET|PASSWORD|TOKEN|_KEY|CONNECTION_STRING)(?!.*_(FILE|URI|URL|ID)$)"
)
_PARTS: Final = re.compile(r"(?:AccountKey|SharedAccessSignature)=([^;]+)")
_LENGTH_MIN: Final = 8
"""Shorter values are words that occur anywhere."""

# Headers are quoted as `Name: value` to the end of the line, or in a mapping that is printed.
_HEADERS: Final = (
    r"(?:proxy-)?authorization|x-amz-security-token|x-amz-credential|x-amz-s3session-token"
    r"|x-ms-copy-source-authorization|(?:set-)?cookie"
    r"|x-(?:amz|ms|goog)-(?:copy-source-)?(?:server-side-)?encryption-(?:customer-)?key"
)
# Names that no sentence has, so that what follows a colon is a value.
_FIELDS: Final = (
    r"aws_?secret_?access_?key|secret_?access_?key|(?:aws_?)?session_?token|account_?key"
    r"|storage_?key|shared_?access_?signature|sas_?token|connection_?string|client_?secret"
    r"|(?:access|refresh|id|auth|bearer|identity)_?token|private_?key|client_?assertion|api_?key"
    r"|x-(?:amz|goog)-(?:signature|credential|security-token)|googleaccessid"
)
# Words that sentences have: only an equals sign or quotes make what follows a value.
_WORDS: Final = r"password|passwd|passphrase|secret|token|credential|skoid|sktid"

_QUOTED: Final = r"""b?(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
_BARE: Final = r"""[^\s&;,'"<>\\)\]}]+"""
_START: Final = r"(?<![A-Za-z])"
_AFTER_NAME: Final = r"""['"]?\s{0,4}[:=]\s{0,4}"""
_NAME: Final = rf"(?:{_FIELDS}|{_WORDS}|{_START}sig(?:nature)?)"


def _shape(pattern: str, flags: int = re.IGNORECASE) -> tuple[re.Pattern[str], str]:
    """Return a pattern and its replacement, which keeps the first group if there is one."""
    compiled = re.compile(pattern, flags)
    return compiled, rf"\g<1>{HIDDEN}" if compiled.groups else HIDDEN


@cache
def _shapes() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Return the patterns of secrets and their replacements.

    Compiled at first use, because most commands never show an error.

    Every repetition is bounded or cannot begin within itself, so that the time is linear.
    """
    return (
        # Of web addresses only: in abfss://container@account there is no secret.
        _shape(r"""\b((?:https?|socks\w{0,3})://)[^/\s'"<>]*(?=@)"""),
        _shape(
            r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}-----|\Z)", re.S
        ),
        _shape(rf"({_START}(?:{_HEADERS}){_AFTER_NAME}){_QUOTED}"),
        # The line may end in the two characters that a printed bytes object has for its end.
        _shape(rf"""({_START}(?:{_HEADERS}):\s{{0,4}}+)(?!b?['"]|\*\*\*)(?:(?!\\r|\\n)[^\r\n])+"""),
        _shape(r"\b((?:Bearer|SharedKey|Basic)\s{1,4})[\w.~+/:=-]{8,}"),
        _shape(r"\b(?:ya29\.[\w.-]+|eyJ[\w-]{8,4000}\.[\w.-]+)"),
        _shape(rf"({_NAME}{_AFTER_NAME}){_QUOTED}"),
        _shape(rf"({_NAME}=){_BARE}"),
        _shape(rf"((?:{_FIELDS}):\s{{0,4}})[\w.~+/=%-]{{16,}}"),
        _shape(rf"(<(?:{_FIELDS}|{_WORDS})>)[^<]+"),
    )


_SECRET_KEY: Final = re.compile(
    rf"(?:{_HEADERS})|[\w-]*(?:{_FIELDS}|{_WORDS}|signature)|sig", re.IGNORECASE
)


class Redactor:
    """Hides the values of the secret variables of `environ`, and text with a secret's shape."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        values = {value for name, value in environ.items() if _NAMES.match(name)}
        values.update(part for value in tuple(values) for part in _PARTS.findall(value))
        # Longest first: one may be a part of another.
        self._values = sorted((v for v in values if len(v) >= _LENGTH_MIN), key=len, reverse=True)

    def redact(self, text: str) -> str:
        """Return `text` with secrets replaced by `HIDDEN`."""
        for value in self._values:
            text = text.replace(value, HIDDEN)
        return redacted(text)

    def redact_all(self, value: Any) -> Any:
        """Return `value` with every text in it redacted, and hide the values of secret keys."""
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, Mapping):
            return {key: self._redact_item(key, item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.redact_all(item) for item in value]
        return value

    def _redact_item(self, key: object, item: Any) -> Any:
        if isinstance(item, str | bytes) and _SECRET_KEY.fullmatch(str(key)):
            return HIDDEN
        return self.redact_all(item)


def redacted(text: str) -> str:
    """Return `text` with everything that has the shape of a secret replaced."""
    for pattern, replacement in _shapes():
        text = pattern.sub(replacement, text)
    return text


def bare_url(url: str) -> str:
    """Return a URL without user, password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
