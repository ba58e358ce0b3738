"""The two clients of one Azure container: the SDK's for metadata and identity, obstore's for bytes.

Both are built from the same account, endpoint and credential, so that they always use the same
container as the same identity.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import requests
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential, TokenCredential
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import ContainerClient
from obstore.store import AzureStore
from requests.adapters import HTTPAdapter

from cloudfs_backends.api import StoreOptions
from cloudfs_backends.azure.account import (
    Anonymous,
    AzureAccount,
    Login,
    SasToken,
    SharedKey,
)
from cloudfs_backends.azure.login import AzureLogin, identity_of
from cloudfs_backends.azure.reads import WHOLE_RANGE_BYTES
from cloudfs_backends.common.executor import METADATA_THREADS
from cloudfs_backends.common.introspection import Identity
from cloudfs_backends.common.obstore_options import client_options
from cloudfs_backends.common.obstore_reads import CHUNK_BYTES

if TYPE_CHECKING:
    from obstore.store import AzureCredential

# obstore's version of the protocol, so that both clients see the same.
_API_VERSION: Final = "2023-11-03"

# The SDK also raises everything that it logs, and errors are reported in one line elsewhere.
logging.getLogger("azure").setLevel(logging.CRITICAL)


class AzureSession:
    """Builds the clients when they are first needed. Safe to use from any worker thread.

    Raises the exceptions of the SDK, azure-identity and obstore untranslated.
    """

    def __init__(self, container: str, account: AzureAccount, options: StoreOptions) -> None:
        self.account = account
        self._container = container
        self._options = options
        self._lock = threading.Lock()
        self._client: ContainerClient | None = None
        self._obstore_client: AzureStore | None = None
        self._login: AzureLogin | None = None

    @property
    def endpoint(self) -> str:
        """The blob service's URL."""
        return self.account.endpoint

    @property
    def profile(self) -> str | None:
        """Azure has no profiles."""
        return None

    def client(self) -> ContainerClient:
        """Return the SDK's client. No request is made."""
        with self._lock:
            if self._client is None:
                self._client = self._build_client()
            return self._client

    def obstore_client(self) -> AzureStore:
        """Return obstore's client. A login is renewed here: obstore would hide why that fails."""
        with self._lock:
            if self._obstore_client is None:
                self._obstore_client = self._build_obstore_client()
            store, login = self._obstore_client, self._login
        if login is not None:
            login.tokens.get_token()
        return store

    def identify(self) -> Identity:
        """Find the credentials, renew them if need be, and return their identity."""
        if not isinstance(self.account.credential, Login):
            return identity_of(self.account)
        with self._lock:
            login = self._get_login()
        return login.identify()

    def close(self) -> None:
        """Close idle connections; requests in flight keep theirs."""
        with self._lock:
            for opened in (self._client, self._login):
                if opened is not None:
                    opened.close()
            self._client = self._obstore_client = self._login = None

    def _get_login(self) -> AzureLogin:
        if self._login is None:
            self._login = AzureLogin()
        return self._login

    def _build_client(self) -> ContainerClient:
        return ContainerClient(
            self.account.endpoint,
            self._container,
            credential=self._sdk_credential(),
            api_version=_API_VERSION,
            transport=self._transport(),
            max_single_get_size=WHOLE_RANGE_BYTES,
            retry_total=0,
            retry_to_secondary=False,
        )

    def _sdk_credential(
        self,
    ) -> AzureNamedKeyCredential | AzureSasCredential | TokenCredential | None:
        credential = self.account.credential
        if isinstance(credential, SharedKey):
            return AzureNamedKeyCredential(self.account.name, credential.key)
        if isinstance(credential, SasToken):
            return AzureSasCredential(credential.token)
        return self._get_login().tokens if isinstance(credential, Login) else None

    def _transport(self) -> RequestsTransport:
        session = requests.Session()
        # This client also reads the keys that obstore cannot name.
        connections = METADATA_THREADS + self._options.max_downloads
        for protocol in ("http://", "https://"):
            session.mount(protocol, HTTPAdapter(pool_maxsize=connections))
        return RequestsTransport(
            session=session,
            connection_timeout=self._options.connect_timeout_s,
            read_timeout=self._options.read_timeout_s,
            connection_data_block_size=CHUNK_BYTES,
        )

    def _build_obstore_client(self) -> AzureStore:
        anonymous = isinstance(self.account.credential, Anonymous)
        return AzureStore(
            self._container,
            # obstore takes missing settings from AZURE_* variables, which the account may have
            # overruled.
            config={
                "account_name": self.account.name,
                "endpoint": self.account.endpoint,
                "use_emulator": False,
                "use_fabric_endpoint": False,
                "skip_signature": anonymous,
            },
            client_options=client_options(self.account.endpoint, self._options),
            retry_config={"max_retries": 0},
            credential_provider=None if anonymous else self._credential_provider(),
        )

    def _credential_provider(self) -> Callable[[], AzureCredential]:
        credential = self.account.credential
        if isinstance(credential, SharedKey):
            key = credential.key
            return lambda: {"access_key": key, "expires_at": None}
        if isinstance(credential, SasToken):
            token = credential.token
            return lambda: {"sas_token": token, "expires_at": None}
        return self._get_login().tokens.for_obstore
