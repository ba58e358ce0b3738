"""The identity of botocore's credentials, for diagnosis."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any, Final

from botocore.config import Config
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from cloudfs_backends.common.http_errors import one_line
from cloudfs_backends.common.introspection import Identity
from cloudfs_backends.errors import CredentialsError
from cloudfs_backends.s3.codes import ERRORS_BY_CODE

ANONYMOUS: Final = Identity("anonymous", "anonymous", "--no-sign-request")

STS_CONFIG: Final = Config(
    connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 1, "mode": "standard"}
)
"""Short timeouts: a firewall may well allow S3 and nothing else."""

_SOURCES: Final = {
    "env": "environment",
    "shared-credentials-file": "{profile} in the credentials file",
    "config-file": "{profile} in the configuration file",
    "custom-process": "credential_process of {profile}",
    "sso": "SSO login of {profile}",
    "login": "aws login of {profile}",
    "assume-role": "role of {profile}",
    "assume-role-with-web-identity": "web identity",
    "container-role": "container role",
    "iam-role": "instance role",
}
_EXPIRATION_VARIABLE: Final = "AWS_CREDENTIAL_EXPIRATION"


def caller_arn(sts: Any) -> tuple[str, str]:
    """Return the ARN of the credentials, or "" and the reason why STS does not return it.

    Only an error of the credentials themselves is raised: reads do not depend on STS.
    """
    try:
        return sts.get_caller_identity().get("Arn", ""), ""
    except ClientError as error:
        if ERRORS_BY_CODE.get(error.response["Error"].get("Code", "")) is CredentialsError:
            raise
        return "", _sts_note(error)
    except (BotoCoreError, ResponseParserError, KeyError) as error:
        return "", _sts_note(error)  # KeyError: the XML of some other server


def describe(credentials: Credentials, profile: str | None, arn: str, note: str) -> Identity:
    """Return the identity of `credentials`, which are renewed if need be."""
    frozen = credentials.get_frozen_credentials()
    notes = [note] if note else []
    expires_at = None
    if credentials.method == "env" and frozen.token:
        expires_at = _environment_expiration()
    if frozen.token and not expires_at and not isinstance(credentials, RefreshableCredentials):
        notes.append("The session ends some time, and nothing renews its credentials.")
    return Identity(
        name=arn or frozen.access_key or "",
        kind=_kind(arn, frozen.token),
        source=_source(credentials.method, profile),
        expires_at=expires_at,
        notes=tuple(notes),
    )


def _sts_note(error: Exception) -> str:
    return f"STS does not say who this is: {one_line(error).rstrip('.')}."


def _kind(arn: str, token: str | None) -> str:
    if ":assumed-role/" in arn:
        return "role session"
    return "session credentials" if token else "access key"


def _source(method: str | None, profile: str | None) -> str:
    words = _SOURCES.get(method or "", method or "unknown")
    return words.format(profile=f"profile {profile or 'default'}")


def _environment_expiration() -> datetime | None:
    """Return when credentials from the environment expire: nothing renews them there."""
    try:
        time = datetime.fromisoformat(os.environ.get(_EXPIRATION_VARIABLE, ""))
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
