"""Keeps secrets out of what is shown: errors of an SDK may quote a URL or a variable.

Findings are made without secrets; this is the net below them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

HIDDEN: Final = "***"

_NAMES: Final = re.compile(
    r"(AWS|AZURE|GOOGLE)_.*(SECRET|PASSWORD|TOKEN|_KEY|CONNECTION_STRING)(?!.*_(FILE|URI|URL|ID)$)"
)
_PARTS: Final = re.compile(r"(?:AccountKey|SharedAccessSignature)=([^;]+)")
_LENGTH_LEAST: Final = 8
"""Shorter values are words that occur anywhere."""

# Of web addresses only: in abfss://container@account there is no secret.
_IN_URL: Final = re.compile(r"\b(https?://)[^/\s@]*@", re.I)
_IN_QUERY: Final = re.compile(
    r"\b((?:sig|AccountKey|SharedAccessSignature|X-Amz-(?:Signature|Security-Token))=)[^&;\s'\"]+",
    re.I,
)


class Censor:
    """Hides the values of the secret variables of an environment, and what URLs carry."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        values = {value for name, value in environ.items() if _NAMES.match(name)}
        values.update(part for value in tuple(values) for part in _PARTS.findall(value))
        # Longest first: one may be a part of another.
        self._values = sorted((v for v in values if len(v) >= _LENGTH_LEAST), key=len, reverse=True)

    def clean(self, text: str) -> str:
        """Return `text` without secrets."""
        for value in self._values:
            text = text.replace(value, HIDDEN)
        text = _IN_URL.sub(rf"\g<1>{HIDDEN}@", text)
        return _IN_QUERY.sub(rf"\g<1>{HIDDEN}", text)

    def clean_all(self, value: Any) -> Any:
        """Return `value` with every text in it cleaned."""
        if isinstance(value, str):
            return self.clean(value)
        if isinstance(value, Mapping):
            return {key: self.clean_all(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.clean_all(item) for item in value]
        return value


def bare_url(url: str) -> str:
    """Return a URL without user, password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
