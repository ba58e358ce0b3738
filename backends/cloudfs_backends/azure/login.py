"""The identity that reads an account, and its login where there is neither key nor SAS token.

azure-identity chooses among the logins that are set up.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from azure.identity import DefaultAzureCredential

from cloudfs_backends.azure.account import AzureAccount, SasToken, SharedKey
from cloudfs_backends.azure.errors import login_error, new_sas_advice
from cloudfs_backends.azure.sas import parse_sas
from cloudfs_backends.azure.tokens import AzureTokenSource, token_claims
from cloudfs_backends.common.http_errors import with_advice
from cloudfs_backends.common.introspection import Identity
from cloudfs_backends.errors import CredentialsError

_NAMES: Final = ("upn", "unique_name", "appid", "azp", "oid")


class AzureLogin:
    """A login by service principal, workload or managed identity, `az login`, ...; no dialogue.

    The constructor sends no request. Safe to use from any thread.
    """

    def __init__(self) -> None:
        try:
            self._chain = DefaultAzureCredential(
                exclude_interactive_browser_credential=True, exclude_broker_credential=True
            )
        except ValueError as error:  # a malformed variable
            raise login_error(error) from error
        self.tokens = AzureTokenSource(self._chain)

    def identify(self) -> Identity:
        """Log in if need be, and return the identity; raises `LoginError`."""
        claims = token_claims(self.tokens.get_token().token)
        facts = {"object": claims.get("oid"), "tenant": claims.get("tid")}
        return Identity(
            name=next((str(claims[name]) for name in _NAMES if claims.get(name)), "unknown"),
            kind="user" if _is_person(claims) else "application",
            source=self._source(),
            notes=tuple(f"{what} {value}" for what, value in facts.items() if value),
        )

    def close(self) -> None:
        """Close idle connections."""
        self._chain.close()

    def _source(self) -> str:
        # The chain has no public name for the credential that succeeded.
        found = getattr(self._chain, "_successful_credential", None)
        return f"azure-identity, {type(found).__name__}" if found else "azure-identity"


def identity_of(account: AzureAccount) -> Identity:
    """Return the identity that reads an account without a login; raises `CredentialsError`."""
    credential = account.credential
    if isinstance(credential, SharedKey):
        return Identity(account.name, "account key", credential.source)
    if isinstance(credential, SasToken):
        return _sas_identity(account.name, credential)
    return Identity("anonymous", "anonymous", "--no-sign-request")


def _sas_identity(account: str, sas: SasToken) -> Identity:
    facts = parse_sas(sas.token)
    problem = facts.problem(datetime.now(UTC))
    if problem:
        raise with_advice(
            CredentialsError(f"the SAS token in {sas.source} {problem}", operation="identify"),
            new_sas_advice(sas),
        )
    return Identity(account, "SAS token", sas.source, facts.expires_at, facts.notes())


def _is_person(claims: Mapping[str, Any]) -> bool:
    return any(claims.get(name) for name in ("upn", "unique_name"))
