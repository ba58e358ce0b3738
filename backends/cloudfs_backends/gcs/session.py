"""The two clients of one GCS bucket: Google's SDK for metadata, obstore for bytes.

Both get endpoint, token and billed project from here, so that they always use the same bucket as
the same identity.
"""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from obstore.store import GCSStore
from requests.adapters import HTTPAdapter

from cloudfs_backends.api import StoreOptions
from cloudfs_backends.common.executor import METADATA_THREADS
from cloudfs_backends.common.introspection import Identity
from cloudfs_backends.gcs.credentials import GoogleTokenSource, find_token_source
from cloudfs_backends.gcs.obstore import build_obstore_client

_ENDPOINT: Final = "https://storage.googleapis.com"
_EMULATOR: Final = "STORAGE_EMULATOR_HOST"
_GOOGLE_HOST: Final = re.compile(r"(^|\.)googleapis\.com$")
_PAYER_HEADER: Final = "x-goog-user-project"


@dataclass(frozen=True, slots=True)
class Clients:
    """The clients of a bucket. `tokens` is None for anonymous access.

    `http` sends all headers of the bucket's requests, authorization included; `sdk` uses it.
    """

    tokens: GoogleTokenSource | None
    http: requests.Session
    sdk: Any
    obstore_client: GCSStore


class GcsSession:
    """Finds the credentials and builds the clients when they are first needed, from any thread.

    Raises the exceptions of Google's libraries untranslated.
    """

    profile: str | None = None
    """Google has no profiles."""

    def __init__(self, bucket: str, options: StoreOptions) -> None:
        emulator = os.environ.get(_EMULATOR, "")
        self._bucket = bucket
        self._options = options
        self._endpoint = (options.endpoint_url or _as_url(emulator) or _ENDPOINT).rstrip("/")
        # As in the SDK, an emulator implies anonymous access.
        self._anonymous_by = "--no-sign-request" if options.no_sign_request else ""
        self._anonymous_by = self._anonymous_by or (_EMULATOR if emulator else "")
        self._lock = threading.Lock()
        self._clients: Clients | None = None

    @property
    def endpoint(self) -> str:
        """The URL that both clients' requests start with."""
        return self._endpoint

    @property
    def is_google(self) -> bool:
        """The endpoint is one of Google's own, which all have the same buckets."""
        return bool(_GOOGLE_HOST.search(urlsplit(self._endpoint).hostname or ""))

    @property
    def timeout(self) -> tuple[float, float]:
        """Seconds to connect and to read, as requests takes them."""
        return self._options.connect_timeout_s, self._options.read_timeout_s

    def clients(self) -> Clients:
        """Return the clients. The first call may wait for the credentials to be found."""
        with self._lock:
            if self._clients is None:
                self._clients = self._build()
            return self._clients

    def bucket(self) -> Any:
        """Return the SDK's bucket; no request is made."""
        return self.clients().sdk.bucket(self._bucket)

    def obstore_client(self) -> GCSStore:
        """Return obstore's client, with a token that is valid for the next request."""
        clients = self.clients()
        if clients.tokens is not None:
            clients.tokens.token()  # here and not in obstore's thread, which would lose its errors
        return clients.obstore_client

    def identify(self) -> Identity:
        """Return the identity of the clients, renewing the token if need be."""
        tokens = self.clients().tokens
        if tokens is None:
            return Identity("anonymous", "anonymous", self._anonymous_by)
        return tokens.identify()

    def close(self) -> None:
        """Close idle connections; requests in flight keep theirs."""
        with self._lock:
            clients, self._clients = self._clients, None
        if clients is not None:
            clients.http.close()
            if clients.tokens is not None:
                clients.tokens.close()

    def _build(self) -> Clients:
        tokens = None if self._anonymous_by else find_token_source(self.timeout)
        payer = self._options.user_project or (tokens.quota_project if tokens else None)
        headers = {_PAYER_HEADER: payer} if payer else {}
        http = self._build_http(tokens, headers)
        obstore_client = build_obstore_client(
            self._bucket, self._endpoint, self._options, tokens, headers
        )
        return Clients(tokens, http, self._build_sdk(http), obstore_client)

    def _build_sdk(self, http: requests.Session) -> Any:
        # The HTTP session authorizes; these credentials keep the SDK from searching for others, for
        # a project, and for an endpoint in the environment.
        sdk = storage.Client(
            project=None,
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            _http=http,
            client_options={"api_endpoint": self._endpoint},
        )
        # With it, each request would start a thread that fetches the bucket's metadata for traces.
        sdk._bucket_metadata_cache = None
        # GOOGLE_API_USE_MTLS_ENDPOINT would make the SDK alone use an endpoint that demands a
        # client certificate.
        sdk._connection.API_BASE_MTLS_URL = self._endpoint
        return sdk

    def _build_http(
        self, tokens: GoogleTokenSource | None, headers: dict[str, str]
    ) -> requests.Session:
        http = requests.Session()
        # This session also reads the bytes that obstore cannot.
        adapter = HTTPAdapter(pool_maxsize=METADATA_THREADS + self._options.max_downloads)
        http.mount("https://", adapter)
        http.mount("http://", adapter)
        http.headers.update(headers)
        # Even without tokens: this keeps requests from reading ~/.netrc.
        http.auth = _authorizer(tokens)
        return http


def _as_url(emulator: str) -> str:
    """Add the scheme, which Google's SDKs for other languages want omitted."""
    return f"http://{emulator}" if emulator and "://" not in emulator else emulator


def _authorizer(tokens: GoogleTokenSource | None) -> Any:
    def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
        if tokens is not None:
            request.headers["authorization"] = f"Bearer {tokens.token()}"
        return request

    return authorize
