"""Environments for tests: no real credentials, no metadata server, harmless fake credentials.

They hide every variable, file and server that the SDKs read by themselves.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_SDK_PREFIXES = (
    "AWS_", "AZD_", "AZURE_", "BOTO_", "CLOUDSDK_", "GCE_METADATA_", "GCLOUD_", "GOOGLE_",
    "IDENTITY_", "IMDS_", "MSI_", "NO_GCE_", "STORAGE_EMULATOR_",
)  # fmt: skip

# Pytest's import of readline sets them in workers, where they would hide a test's own terminal.
_SIZE_OF_NO_TERMINAL = {"COLUMNS", "LINES"}

_NOWHERE = "http://127.0.0.1:9"  # the discard port: no listener
_NO_FOLDER = os.path.join(os.devnull, "none")

_HIDING = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AZD_CONFIG_DIR": _NO_FOLDER,
    "AZURE_CONFIG_DIR": _NO_FOLDER,
    "AZURE_POD_IDENTITY_AUTHORITY_HOST": _NOWHERE,
    "CLOUDSDK_CONFIG": _NO_FOLDER,
    "GCE_METADATA_HOST": _NOWHERE.removeprefix("http://"),
    "GCE_METADATA_IP": _NOWHERE.removeprefix("http://"),
    "NO_GCE_CHECK": "true",
}

_FAKE_AWS = {
    "AWS_ACCESS_KEY_ID": "cloudfs-test-key",
    "AWS_SECRET_ACCESS_KEY": "cloudfs-test-secret",
}


def without_credentials(base: Mapping[str, str]) -> dict[str, str]:
    """Return `base` less every variable of the clouds' SDKs, and with those that keep the SDKs
    from files and metadata servers: no credentials can be found there."""
    kept = {
        name: text
        for name, text in base.items()
        if not name.startswith(_SDK_PREFIXES) and name not in _SIZE_OF_NO_TERMINAL
    }
    return {**kept, **_HIDING}


def aws_environment() -> dict[str, str]:
    """Return variables that give a process fake credentials of S3 and hide all real ones."""
    return {**_HIDING, **_FAKE_AWS}


def clean_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment (or `base`) without credentials but the fake ones of S3."""
    return {**without_credentials(os.environ if base is None else base), **_FAKE_AWS}


@contextmanager
def fake_aws(**more: str) -> Iterator[None]:
    """Give this process `clean_environment` (and `more` variables) for the time of the block."""
    with environment({**clean_environment(), **more}):
        yield


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Let `variables` be this process's environment for the time of the block."""
    before = dict(os.environ)
    replace_environment(variables)
    try:
        yield
    finally:
        replace_environment(before)


def replace_environment(variables: Mapping[str, str]) -> None:
    """Let `variables` be this process's environment from now on."""
    os.environ.clear()
    os.environ.update(variables)
