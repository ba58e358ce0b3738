"""The check of the URL, the store options and the packages, as a mount would use them."""

from __future__ import annotations

from functools import partial
from importlib import metadata
from typing import Final

import trio

from cloudfs.config import options
from cloudfs.config.option import Heading
from cloudfs.config.settings import DEFAULT_ORIGIN
from cloudfs.daemon import resources
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, ok
from cloudfs_backends.registry import open_inspector
from cloudfs_backends.url import AZ, GS, S3

_PACKAGES: Final = {
    S3: ("boto3", "obstore"),
    GS: ("google-cloud-storage", "google-auth", "obstore"),
    AZ: ("azure-storage-blob", "azure-identity", "obstore"),
}
_HEADINGS: Final = frozenset({Heading.BUCKET, Heading.ENDPOINT})


async def setup(context: Context) -> Finding:
    """Open the store, without a request."""
    settings = context.settings
    open_store = partial(open_inspector, settings.url, resources.store_options(settings))
    # In a thread because an SDK takes a while to import.
    context.opened_store = await trio.to_thread.run_sync(open_store, abandon_on_cancel=True)
    origins = _origins(context)
    packages = {name: metadata.version(name) for name in _PACKAGES.get(context.scheme, ())}
    parts = [settings.url]
    parts += [f"{key} from {origin}" for key, origin in origins.items() if origin[:2] != "--"]
    parts += [f"{name} {version}" for name, version in packages.items()]
    return ok(", ".join(parts), options=origins, packages=packages)


def _origins(context: Context) -> dict[str, str]:
    """Return the flag, variable or file of each store option, by its key."""
    origins = context.resolution.origins
    return {
        option.key: origins[option.name].rpartition(": ")[0] or origins[option.name]
        for option in options.settings_options()
        if option.heading in _HEADINGS and origins[option.name] != DEFAULT_ORIGIN
    }
