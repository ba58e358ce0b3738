"""Azure Blob Storage, with or without a hierarchical namespace.

Metadata is read through azure-storage-blob, bytes through obstore.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Final

from azure.core.exceptions import AzureError

from cloudfs_backends.api import Capabilities, ListPage, ObjectInfo, StoreOptions
from cloudfs_backends.azure.account import resolve_account
from cloudfs_backends.azure.errors import error_codes_for, translated
from cloudfs_backends.azure.listing import EMPTY_PAGE
from cloudfs_backends.azure.metadata import ContainerMetadata, can_begin_name, resolve_name
from cloudfs_backends.azure.reads import read_blob
from cloudfs_backends.azure.session import AzureSession
from cloudfs_backends.common.client import StoreClient
from cloudfs_backends.common.cloud import CloudClient
from cloudfs_backends.common.introspection import Identity
from cloudfs_backends.common.obstore_reads import RangeRead, obstore_chunks
from cloudfs_backends.url import AZ, StoreUrl

# Put Blob From URL, which copies before it responds; Copy Blob has no limit, but copies afterwards.
_COPY_BYTES_MAX: Final = 5000 * 2**20


def open_client(url: StoreUrl, options: StoreOptions) -> StoreClient:
    """Return the client; no request is made yet.

    Raises `InvalidRequestError` or `CredentialsError` as `resolve_account`.
    """
    return AzureClient(url, options)


class AzureClient(CloudClient[AzureSession]):
    """One container and prefix.

    `probe` also finds out whether the account has a hierarchical namespace.
    """

    def __init__(self, url: StoreUrl, options: StoreOptions) -> None:
        account = resolve_account(url, options, os.environ)
        session = AzureSession(url.bucket, account, options)
        super().__init__(url, session, error_codes_for(account))
        self._container = ContainerMetadata(self._session, url.prefix, self._codes)
        self._hierarchical = False

    @property
    def identity(self) -> str:
        """The container, and the account's endpoint: names are unique within an account only.

        It does not depend on how the URL spelled the account.
        """
        url = f"{AZ}://{self._url.bucket}/{self._url.prefix}".rstrip("/")
        return f"{url} at {self._session.endpoint}"

    @property
    def capabilities(self) -> Capabilities:
        """What Azure can do. Only append blobs can grow."""
        return Capabilities(
            metadata_in_list=True,
            conditional_put=True,
            atomic_rename=self._hierarchical,
            append=True,
            copy_bytes_max=_COPY_BYTES_MAX,
        )

    def probe(self) -> None:
        """Check that the container can be listed; ask whether it has a hierarchical namespace."""
        self._container.list_page("", "", None, 1)
        try:
            account = self._session.client().get_account_information()
        except AzureError:  # the permission to list does not include this one
            return
        self._hierarchical = bool(account.get("is_hns_enabled"))

    def head(self, key: str) -> ObjectInfo:
        """Return the attributes of `key`; the stub of a folder is not found."""
        return self._container.head(key)

    def list_page(
        self, prefix: str, *, delimiter: str = "", token: str | None = None, limit: int = 1000
    ) -> ListPage:
        """Return one page of the keys that start with `prefix`, of at most 5000 entries."""
        if not can_begin_name(self._url.prefix + prefix):
            return EMPTY_PAGE
        return self._container.list_page(prefix, delimiter, token, limit)

    def read_obstore(self, read: RangeRead) -> Generator[bytes, None, None]:
        context = self._context("get", read.key)
        name = resolve_name(self._url.prefix, context)
        with translated(context):
            store = self._session.obstore_client()
        yield from obstore_chunks(store, name, read, context)

    def read_sdk(self, read: RangeRead) -> Generator[bytes, None, None]:
        context = self._context("get", read.key)
        name = resolve_name(self._url.prefix, context)
        with translated(context):
            yield from read_blob(self._session.client(), name, read, context)

    def identify(self) -> Identity:
        with translated(self._context("identify", "")):
            return self._session.identify()

    def region(self) -> str | None:
        """Return None: Azure does not tell it to a client that may only read."""
        return None
