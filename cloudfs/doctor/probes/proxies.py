"""Proxies of the environment, chosen by the rules of the SDKs.

The variable of the URL's scheme, in small letters first, and NO_PROXY.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from cloudfs.telemetry.redact import bare_url


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and the variable that names it. `url` may carry a password: show `shown`."""

    variable: str
    url: str

    @property
    def shown(self) -> str:
        """The URL without secrets."""
        return bare_url(self.url)


def proxy_for(url: str, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy for requests to `url`, None for a direct connection."""
    parts = urlsplit(url)
    name = f"{parts.scheme}_proxy"
    variable = next((known for known in (name, name.upper()) if environ.get(known)), None)
    if variable is None or _is_exempt(
        parts, environ.get("no_proxy") or environ.get("NO_PROXY", "")
    ):
        return None
    address = environ[variable]
    return Proxy(variable, address if "://" in address else f"http://{address}")


def _is_exempt(parts: SplitResult, exempt: str) -> bool:
    """Whether the host is in NO_PROXY, a list of hosts and domains."""
    host = parts.hostname or ""
    names = {host, f"{host}:{parts.port}"}
    entries = (entry.strip().lower().lstrip(".") for entry in exempt.split(","))
    return any(
        entry == "*" or entry in names or (entry and host.endswith(f".{entry}"))
        for entry in entries
    )
