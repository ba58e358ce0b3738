"""Responses that only real Azure sends, played on the wire: namespaces, pages and error codes."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

import pytest

from cloudfs_backends.api import ListPage, StoreOptions
from cloudfs_backends.common.introspection import StoreInspector
from cloudfs_backends.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    CredentialsError,
    InvalidRequestError,
    ObjectNotFoundError,
    StoreError,
    ThrottledError,
    UnavailableError,
)
from cloudfs_backends.registry import open_inspector
from tests.contract.azure_responses import (
    ETAG,
    FILE,
    FOLDER,
    MESSAGE,
    MODIFIED_NS,
    REQUEST_ID,
    blob,
    error_response,
    folder,
    listing,
    opened,
    prefix,
)
from tests.contract.in_trio import in_trio
from tests.contract.world import all_pages, keys, prefixes, read
from tests.support.azure import KEY, fake_azure
from tests.support.proxy import ProxiedRequest, Proxy, Respond, always, proxy

_CLOSED_PORT = 9
_LEAVE = "leave --no-sign-request away"
EMPTY = ListPage((), (), None)


@pytest.fixture
def wire() -> Iterator[Proxy]:
    """There is no server behind it: each test plays it."""
    with proxy(_CLOSED_PORT) as running:
        yield running


@pytest.fixture
def store(wire: Proxy) -> Iterator[StoreInspector]:
    with fake_azure(), opened("az://container", wire.endpoint_url) as store:
        yield store


def _request_token(request: ProxiedRequest) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(request.target).query))


def _open(wire: Proxy, **options: bool) -> StoreInspector:
    return open_inspector(
        "az://container",
        StoreOptions(endpoint_url=wire.endpoint_url, **options),  # type: ignore[arg-type]
    )


class TestPages:
    @in_trio
    async def test_what_is_asked(self, store: StoreInspector, wire: Proxy) -> None:
        wire.plan = always(listing(blob("a/b"), marker="there"))
        page = await store.list_page("a/", delimiter="/", token="here", limit=7)
        assert page.next_token == "there"
        asked = _request_token(wire.requests[0])
        assert (asked["prefix"], asked["delimiter"], asked["marker"]) == ("a/", "/", "here")
        assert (asked["maxresults"], asked["include"]) == ("7", "metadata")

    @in_trio
    async def test_more_than_azure_gives_is_not_asked_for(
        self, store: StoreInspector, wire: Proxy
    ) -> None:
        wire.plan = always(listing(blob("a")))
        await store.list_page("", limit=10_000)
        assert _request_token(wire.requests[0])["maxresults"] == "5000"

    @in_trio
    async def test_empty_pages_in_between_are_passed_over(
        self, store: StoreInspector, wire: Proxy
    ) -> None:
        """A page of nothing would say that a directory is not there."""
        pages = {
            "": listing(marker="one"),
            "one": listing(marker="two"),
            "two": listing(blob("d/a"), marker="three"),
            "three": listing(),
        }
        wire.plan = lambda request: pages[_request_token(request).get("marker", "")]
        first = await store.list_page("d/", limit=1)
        assert (keys([first]), first.next_token) == (["d/a"], "three")
        assert await store.list_page("d/", token="three") == EMPTY
        assert len(wire.requests) == 4

    @in_trio
    async def test_names_that_xml_cannot_hold(self, store: StoreInspector, wire: Proxy) -> None:
        wire.plan = always(listing(blob("a%2Fb%EF%BF%BE%25", encoded=True), blob("a%2Fb")))
        assert keys([await store.list_page("")]) == ["a/b\ufffe%", "a%2Fb"]

    @in_trio
    async def test_attributes(self, store: StoreInspector, wire: Proxy) -> None:
        wire.plan = always(listing(blob("key", 5), blob("old", 6, {"mtime": "1600000000.5"})))
        key, old = (await store.list_page("")).objects
        assert (key.size, key.etag, key.mtime_ns) == (5, ETAG, MODIFIED_NS)
        assert (key.has_metadata, key.metadata_mtime) == (True, False)
        assert (old.mtime_ns, old.metadata_mtime) == (1_600_000_000_500_000_000, True)

    @pytest.mark.parametrize(
        "body", [b"<EnumerationResults><Blobs><Blob>", b"nonsense", b"<Other/>"]
    )
    @in_trio
    async def test_nonsense_may_pass(self, store: StoreInspector, wire: Proxy, body: bytes) -> None:
        wire.plan = always(Respond(200, body, {"Content-Type": "application/xml"}))
        with pytest.raises(UnavailableError):
            await store.list_page("")


class TestHierarchicalNamespace:
    @pytest.mark.parametrize(("said", "can"), [("true", True), ("false", False)])
    @in_trio
    async def test_probe_finds_out(
        self, store: StoreInspector, wire: Proxy, said: str, can: bool
    ) -> None:
        account = Respond(200, b"", {"x-ms-is-hns-enabled": said, "x-ms-sku-name": "Standard_LRS"})
        wire.plan = lambda request: (
            account if _request_token(request).get("restype") == "account" else listing()
        )
        assert not store.capabilities.atomic_rename
        await store.probe()
        assert store.capabilities.atomic_rename is can

    @pytest.mark.parametrize("status", [403, 404, 500])
    @in_trio
    async def test_probe_need_not_find_out(
        self, store: StoreInspector, wire: Proxy, status: int
    ) -> None:
        wire.plan = lambda request: (
            Respond(status) if _request_token(request).get("restype") == "account" else listing()
        )
        await store.probe()
        assert not store.capabilities.atomic_rename

    @in_trio
    async def test_folders_beside_their_prefixes(self, store: StoreInspector, wire: Proxy) -> None:
        wire.plan = always(
            listing(prefix("empty/"), prefix("full/"), folder("empty"), folder("full"), blob("z"))
        )
        pages = await all_pages(store, "", delimiter="/", limit=10)
        assert (prefixes(pages), keys(pages)) == (["empty/", "full/"], ["z"])

    @in_trio
    async def test_folders_among_all_names(self, store: StoreInspector, wire: Proxy) -> None:
        wire.plan = always(listing(folder("empty"), folder("full"), blob("full/a"), blob("z")))
        page = await store.list_page("")
        assert keys([page]) == ["empty/", "full/", "full/a", "z"]
        assert [info.size for info in page.objects] == [0, 0, 1, 1]

    @in_trio
    async def test_folder_is_no_file(self, store: StoreInspector, wire: Proxy) -> None:
        wire.plan = lambda request: FOLDER if request.method == "HEAD" else listing()
        with pytest.raises(ObjectNotFoundError):
            await store.head("folder")
        assert keys([await store.list_page("folder/")]) == ["folder/"]

    @in_trio
    async def test_head_that_came_before_is_no_answer(
        self, store: StoreInspector, wire: Proxy
    ) -> None:
        """An answer is used for a listing that was asked for before it came, for no later one."""
        wire.plan = lambda request: FOLDER if request.method == "HEAD" else listing()
        with pytest.raises(ObjectNotFoundError):
            await store.head("folder")
        wire.plan = lambda request: (
            error_response(404, "BlobNotFound") if request.method == "HEAD" else listing()
        )
        assert await store.list_page("folder/") == EMPTY

    @pytest.mark.parametrize("status", [400, 404, 409])
    @pytest.mark.parametrize("below", ["file/", "file/deeper/"])
    @in_trio
    async def test_nothing_is_below_a_file(
        self, store: StoreInspector, wire: Proxy, status: int, below: str
    ) -> None:
        """The namespace refuses to look there, with whatever code."""
        wire.plan = lambda request: (
            error_response(status, "ResourceTypeMismatch")
            if request.method == "GET"
            else FILE
            if request.target.endswith("/file")
            else error_response(404, "BlobNotFound")
        )
        assert await store.list_page(below) == EMPTY
        assert await store.list_page(below, delimiter="/") == EMPTY

    @in_trio
    async def test_other_error_responses_are_errors(
        self, store: StoreInspector, wire: Proxy
    ) -> None:
        wire.plan = lambda request: (
            error_response(400, "InvalidQueryParameterValue") if request.method == "GET" else FOLDER
        )
        with pytest.raises(InvalidRequestError, match="InvalidQueryParameterValue"):
            await store.list_page("folder/")

    @in_trio
    async def test_folder_that_is_not_there(self, store: StoreInspector, wire: Proxy) -> None:
        wire.plan = always(error_response(404, "PathNotFound"))
        assert await store.list_page("none/", delimiter="/") == EMPTY


class TestPauses:
    @pytest.mark.parametrize(
        ("header", "text", "seconds"),
        [
            ("Retry-After", "7", 7.0),
            ("x-ms-retry-after-ms", "1500", 1.5),
            ("retry-after-ms", "20", 0.02),
            ("x-ms-retry-after-ms", "soon", None),
        ],
    )
    @in_trio
    async def test_how_long(
        self, store: StoreInspector, wire: Proxy, header: str, text: str, seconds: float | None
    ) -> None:
        wire.plan = always(error_response(503, "ServerBusy", **{header: text}))
        for request in (
            store.list_page("a"),
            store.head("key"),
            read(store, "a//b", 0, 9, None),
        ):
            with pytest.raises(ThrottledError) as caught:
                await request
            assert caught.value.retry_after_s == seconds


class Case(NamedTuple):
    status: int
    code: str
    error_class: type[StoreError]
    advice: str


ACCESS = [
    Case(404, "ContainerNotFound", BucketNotFoundError, "account"),
    Case(404, "FilesystemNotFound", BucketNotFoundError, "account"),
    Case(409, "ContainerBeingDeleted", BucketNotFoundError, "name"),
    Case(403, "AuthenticationFailed", CredentialsError, "AZURE_STORAGE_KEY"),
    Case(401, "InvalidAuthenticationInfo", CredentialsError, "AZURE_STORAGE_KEY"),
    Case(403, "KeyBasedAuthenticationNotPermitted", CredentialsError, "az login"),
    Case(403, "AuthorizationFailure", AccessDeniedError, "firewall"),
    Case(403, "AuthorizationPermissionMismatch", AccessDeniedError, "Storage Blob Data Reader"),
    Case(403, "AuthorizationProtocolMismatch", AccessDeniedError, "https"),
    Case(403, "AuthorizationResourceTypeMismatch", AccessDeniedError, "srt=co"),
    Case(403, "AuthorizationServiceMismatch", AccessDeniedError, "ss=b"),
    Case(403, "AuthorizationSourceIPMismatch", AccessDeniedError, "sip="),
    Case(403, "InsufficientAccountPermissions", AccessDeniedError, "grant"),
    Case(403, "AccountIsDisabled", AccessDeniedError, "portal"),
    Case(403, "ContainerDisabled", AccessDeniedError, "owner"),
    Case(403, "KeyVaultEncryptionKeyNotFound", AccessDeniedError, "Key Vault"),
    Case(403, "KeyVaultVaultNotFound", AccessDeniedError, "Key Vault"),
    Case(403, "KeyVaultAccessTokenCannotBeAcquired", AccessDeniedError, "Key Vault"),
    Case(400, "AccountRequiresHttps", InvalidRequestError, "--endpoint-url"),
    Case(400, "InvalidHeaderValue", InvalidRequestError, "--endpoint-url"),
    Case(503, "ServerBusy", ThrottledError, "--max-downloads"),
    Case(500, "OperationTimedOut", UnavailableError, "network"),
    Case(500, "InternalError", UnavailableError, "network"),
    Case(409, "AccountBeingCreated", UnavailableError, "network"),
]
OBJECT = [
    Case(404, "BlobNotFound", ObjectNotFoundError, "deleted"),
    Case(404, "ResourceNotFound", ObjectNotFoundError, "deleted"),
    Case(400, "InvalidUri", ObjectNotFoundError, "deleted"),
    Case(400, "OutOfRangeInput", ObjectNotFoundError, "deleted"),
    Case(409, "BlobArchived", AccessDeniedError, "rehydrate"),
    Case(409, "BlobBeingRehydrated", AccessDeniedError, "wait"),
    Case(409, "BlobUsesCustomerSpecifiedEncryption", AccessDeniedError, "encryption scope"),
]


NOT_PUBLIC = [
    Case(401, "NoAuthenticationInformation", CredentialsError, _LEAVE),
    Case(409, "PublicAccessNotPermitted", CredentialsError, _LEAVE),
    Case(404, "ResourceNotFound", BucketNotFoundError, _LEAVE),
]


def _failed(advice: str) -> Case:
    return Case(403, "AuthenticationFailed", CredentialsError, advice)


async def _check(request: Awaitable[object], case: Case) -> StoreError:
    with pytest.raises(case.error_class) as caught:
        await request
    error = caught.value
    assert type(error) is case.error_class
    assert (error.http_code, error.request_id) == (case.status, REQUEST_ID)
    assert str(error).startswith(case.code)
    assert case.advice in error.advice
    for hidden in ("\n", "RequestId", "Time:", KEY):
        assert hidden not in error.describe()
    return error


class TestWords:
    @pytest.mark.parametrize("case", ACCESS, ids=lambda case: case.code)
    @in_trio
    async def test_of_the_container(self, store: StoreInspector, wire: Proxy, case: Case) -> None:
        wire.plan = always(error_response(case.status, case.code))
        await _check(store.probe(), case)

    @pytest.mark.parametrize("case", [*ACCESS, *OBJECT], ids=lambda case: case.code)
    @pytest.mark.parametrize("route", ["obstore", "sdk", "head"])
    @in_trio
    async def test_of_an_object(
        self, store: StoreInspector, wire: Proxy, route: str, case: Case
    ) -> None:
        wire.plan = always(error_response(case.status, case.code))
        key = "a//b" if route == "sdk" else "key"
        request = store.head(key) if route == "head" else read(store, key, 0, 9, None)
        error = await _check(request, case)
        if route != "head":
            assert str(error) == f"{case.code}: {MESSAGE}"

    @pytest.mark.parametrize("request_date", ["Request date header too old: 'x'", "Date header"])
    @in_trio
    async def test_clock(self, store: StoreInspector, wire: Proxy, request_date: str) -> None:
        wire.plan = always(error_response(403, "AuthenticationFailed", request_date))
        error = await _check(store.probe(), _failed("NTP"))
        assert request_date not in error.describe()

    @in_trio
    async def test_what_was_signed_is_not_told(self, store: StoreInspector, wire: Proxy) -> None:
        detail = f"The MAC signature 'abc' is not the same. String to sign was 'GET\n{KEY}'"
        wire.plan = always(error_response(403, "AuthenticationFailed", detail))
        for request in (store.probe(), store.head("key"), read(store, "key", 0, 9, None)):
            error = await _check(request, _failed("key"))
            assert "sign" not in error.describe().replace("signature", "")

    @in_trio
    async def test_expired_sas(self, wire: Proxy) -> None:
        expired = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        detail = "Signature not valid in the specified time frame"
        wire.plan = always(error_response(403, "AuthenticationFailed", detail))
        with fake_azure(
            AZURE_STORAGE_KEY="", AZURE_STORAGE_SAS_TOKEN=f"sv=1&sp=rl&se={expired}&sig=hush"
        ):
            store = _open(wire)
        for request in (store.probe(), read(store, "key", 0, 9, None)):
            error = await _check(request, _failed("expired at"))
            assert "AZURE_STORAGE_SAS_TOKEN" in error.advice
        await store.aclose()

    @pytest.mark.parametrize("case", NOT_PUBLIC, ids=lambda case: case.code)
    @in_trio
    async def test_of_containers_that_are_not_public(self, wire: Proxy, case: Case) -> None:
        wire.plan = always(error_response(case.status, case.code))
        with fake_azure():
            store = _open(wire, no_sign_request=True)
        await _check(store.probe(), case)
        await store.aclose()

    @in_trio
    async def test_connection_refused_reveals_no_secret(self) -> None:
        with fake_azure(AZURE_STORAGE_KEY="", AZURE_STORAGE_SAS_TOKEN="sv=1&sp=rl&sig=hush"):
            store = open_inspector(
                "az://container", StoreOptions(endpoint_url="http://127.0.0.1:9")
            )
        for request in (
            store.probe(),
            store.head("key"),
            read(store, "key", 0, 9, None),
            read(store, "a//b", 0, 9, None),
        ):
            with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:9") as caught:
                await request
            assert "hush" not in caught.value.describe()
            assert "\n" not in caught.value.describe()
        await store.aclose()
