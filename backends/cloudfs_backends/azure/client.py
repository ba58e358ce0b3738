"""Azure Blob Storage, with or without a hierarchical namespace.

azure-storage-blob lists and heads; obstore moves bytes. This module does not know what the bytes
are for, nor which of the two ways a read takes: `CloudStore` decides.
"""

from __future__ import annotations

import os
from collections.abc import Generator

from azure.core.exceptions import AzureError

from cloudfs_backends.api import Capabilities, ListPage, ObjectInfo, StoreOptions
from cloudfs_backends.azure.account import resolve_account
from cloudfs_backends.azure.errors import dialect_for, translated
from cloudfs_backends.azure.listing import EMPTY_PAGE
from cloudfs_backends.azure.names import AzureNames, fits, full_name
from cloudfs_backends.azure.reads import sdk_body
from cloudfs_backends.azure.session import AzureSession
from cloudfs_backends.common.cloud import CloudStore
from cloudfs_backends.common.http_errors import RequestContext
from cloudfs_backends.common.introspection import Identity
from cloudfs_backends.common.obstore_reads import RangeRead, is_speakable, obstore_chunks
from cloudfs_backends.url import AZ, StoreUrl

# Put Blob From URL, which is done when it answers; Copy Blob has no limit, but goes on afterwards.
_COPY_BYTES_MAX = 5000 * 2**20


def open_store(url: StoreUrl, options: StoreOptions) -> CloudStore:
    """Return the store; no request is made yet.

    Raises `InvalidRequestError` or `CredentialsError` when it is not clear whose container is meant
    or what is in the environment cannot be a credential.
    """
    return CloudStore(AzureClient(url, options), options.max_downloads)


class AzureClient:
    """One container and prefix; see `CloudClient` for the contract.

    `probe` also finds out whether the account has a hierarchical namespace.
    """

    def __init__(self, url: StoreUrl, options: StoreOptions) -> None:
        account = resolve_account(url, options, os.environ)
        self._url = url
        self._session = AzureSession(url.bucket, account, options)
        self._dialect = dialect_for(account)
        self._names = AzureNames(self._session, url.prefix, self._dialect)
        self._hierarchical = False

    @property
    def url(self) -> str:
        """See `ObjectStore.url`."""
        return str(self._url)

    @property
    def identity(self) -> str:
        """See `ObjectStore.identity`. Names of containers are unique within an account only.

        However the URL spelled the account, the identity is the same.
        """
        place = f"{AZ}://{self._url.bucket}/{self._url.prefix}".rstrip("/")
        return f"{place} at {self._session.endpoint}"

    @property
    def endpoint(self) -> str | None:
        """See `StoreInspector.endpoint`."""
        return self._session.endpoint

    @property
    def capabilities(self) -> Capabilities:
        """See `ObjectStore.capabilities`. Append blobs grow; others have to be written anew."""
        return Capabilities(
            metadata_in_list=True,
            conditional_put=True,
            atomic_rename=self._hierarchical,
            append=True,
            copy_bytes_max=_COPY_BYTES_MAX,
        )

    def probe(self) -> None:
        """See `ObjectStore.probe`."""
        self._names.list_page("", "", None, 1)
        try:
            account = self._session.client().get_account_information()
        except AzureError:  # whoever may list need not be allowed to ask for this
            return
        self._hierarchical = bool(account.get("is_hns_enabled"))

    def head(self, key: str) -> ObjectInfo:
        """See `ObjectStore.head`. The stub of a folder is not found."""
        return self._names.head(key)

    def list_page(self, prefix: str, delimiter: str, token: str | None, limit: int) -> ListPage:
        """See `ObjectStore.list_page`. Azure gives at most 5000 entries."""
        if not fits(self._url.prefix + prefix):
            return EMPTY_PAGE
        return self._names.list_page(prefix, delimiter, token, limit)

    def is_speakable(self, key: str) -> bool:
        """See `CloudClient.is_speakable`."""
        return is_speakable(self._url.prefix + key)

    def fast_chunks(self, read: RangeRead) -> Generator[bytes, None, None]:
        """See `CloudClient.fast_chunks`."""
        context = self._context("get", read.key)
        name = full_name(self._url.prefix, context)
        with translated(context):
            store = self._session.byte_store()
        yield from obstore_chunks(store, name, read, context)

    def sdk_chunks(self, read: RangeRead) -> Generator[bytes, None, None]:
        """See `CloudClient.sdk_chunks`."""
        context = self._context("get", read.key)
        name = full_name(self._url.prefix, context)
        with translated(context):
            yield from sdk_body(self._session.client(), name, read, context)

    def identify(self) -> Identity:
        """See `StoreInspector.identify`."""
        with translated(self._context("identify", "")):
            return self._session.identify()

    def region(self) -> str | None:
        """See `CloudClient.region`: Azure does not tell it to those who only read."""
        return None

    def close(self) -> None:
        """See `CloudClient.close`."""
        self._session.close()

    def _context(self, operation: str, key: str) -> RequestContext:
        return RequestContext(operation, key, self._session, self._dialect)
