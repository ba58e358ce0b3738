"""Opening a bucket of GCS: its location, the client's settings, and the errors when it fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudfs_backends.common.introspection import StoreInspector
from cloudfs_backends.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    CredentialsError,
    InvalidRequestError,
    StoreError,
    ThrottledError,
    UnavailableError,
)
from tests.contract.gcs_world import NOWHERE, GcsStores
from tests.contract.in_trio import in_trio
from tests.contract.world import DATA, read
from tests.support.gcs import GcsBucket, GcsServer, fake_google
from tests.support.google import GoogleBucket
from tests.support.proxy import Proxy, Respond, always
from tests.support.tls import Certificate, make_certificate, tls_server

pytestmark = pytest.mark.usefixtures("_google")


@pytest.fixture
def google_store(
    google_bucket: GoogleBucket, google: Proxy, gcs_stores: GcsStores
) -> StoreInspector:
    return gcs_stores(google_bucket.url, google.endpoint_url)


class TestPlace:
    @in_trio
    async def test_location(self, google_store: StoreInspector, google: Proxy) -> None:
        place = await google_store.locate()
        assert place.region == "EUROPE-WEST4 (region)"
        assert place.endpoint == google.endpoint_url

    @in_trio
    async def test_location_that_may_not_be_asked_for(
        self, google_bucket: GoogleBucket, google_store: StoreInspector
    ) -> None:
        google_bucket.location = None
        assert (await google_store.locate()).region is None

    @pytest.mark.parametrize("layout", [b"[]", b"{}", b'{"hierarchicalNamespace": true}'])
    @in_trio
    async def test_layout_that_makes_no_sense(
        self,
        google_store: StoreInspector,
        google: Proxy,
        google_bucket: GoogleBucket,
        layout: bytes,
    ) -> None:
        google.plan = lambda request: (
            Respond(200, layout) if "storageLayout" in request.target else google_bucket(request)
        )
        await google_store.probe()
        assert not google_store.capabilities.atomic_rename
        assert (await google_store.locate()).region is None

    @pytest.mark.parametrize(
        ("endpoint", "identity"),
        [
            (None, "gs://bucket/p/"),
            ("https://storage.googleapis.com", "gs://bucket/p/"),
            ("https://storage.europe-west4.rep.googleapis.com/", "gs://bucket/p/"),
            ("https://storage.example.com/", "gs://bucket/p/ at https://storage.example.com"),
            ("https://notgoogleapis.com", "gs://bucket/p/ at https://notgoogleapis.com"),
        ],
    )
    def test_identity_and_capabilities(
        self, gcs_stores: GcsStores, endpoint: str | None, identity: str
    ) -> None:
        store = gcs_stores("gs://bucket/p", endpoint)
        assert store.identity == identity
        is_google = " at " not in identity
        assert store.capabilities.metadata_in_list
        assert store.capabilities.conditional_put is is_google
        assert bool(store.capabilities.copy_bytes_max) is is_google
        assert not store.capabilities.append

    @pytest.mark.parametrize("form", ["http://127.0.0.1:{port}/", "127.0.0.1:{port}"])
    @in_trio
    async def test_emulator_of_the_environment(
        self, gcs_stores: GcsStores, gcs_bucket: GcsBucket, form: str
    ) -> None:
        gcs_bucket.put("key", DATA)
        port = gcs_bucket.endpoint_url.rpartition(":")[2]
        with fake_google(STORAGE_EMULATOR_HOST=form.format(port=port)):
            store = gcs_stores(gcs_bucket.url, None, no_sign_request=False)
        await store.probe()
        assert await read(store, "key", 0, 10, None) == DATA[:10]
        assert (await store.identify()).source == "STORAGE_EMULATOR_HOST"
        assert store.endpoint == gcs_bucket.endpoint_url

    @in_trio
    async def test_option_wins_over_the_emulator(
        self, gcs_stores: GcsStores, google_bucket: GoogleBucket, google: Proxy
    ) -> None:
        with fake_google(STORAGE_EMULATOR_HOST=NOWHERE):
            store = gcs_stores(google_bucket.url, google.endpoint_url, no_sign_request=False)
        await store.probe()
        assert "authorization" not in google.requests[0].headers

    @pytest.mark.parametrize("more", [{}, {"GOOGLE_BEARER_TOKEN": "stray"}])
    @in_trio
    async def test_environment_does_not_mislead(
        self,
        gcs_stores: GcsStores,
        google_bucket: GoogleBucket,
        google: Proxy,
        tmp_path: Path,
        more: dict[str, str],
    ) -> None:
        """Both clients read GOOGLE_* variables of their own accord: none may lead them away."""
        google_bucket.put("key", DATA)
        workload = tmp_path / "workload.json"  # of which obstore knows nothing
        workload.write_text('{"type": "external_account"}')
        with fake_google(
            GOOGLE_BASE_URL=NOWHERE,
            GOOGLE_BUCKET="other",
            GOOGLE_BUCKET_NAME="other",
            GOOGLE_APPLICATION_CREDENTIALS=str(workload),
            GOOGLE_SKIP_SIGNATURE="false",
            API_ENDPOINT_OVERRIDE=NOWHERE,
            GOOGLE_API_USE_MTLS_ENDPOINT="always",
            **more,
        ):
            store = gcs_stores(google_bucket.url, google.endpoint_url)
            await store.probe()
            assert await read(store, "key", 0, 10, None) == DATA[:10]
        assert google.requests[-1].headers["user-agent"].startswith("object_store")
        assert all("authorization" not in request.headers for request in google.requests)


class TestTls:
    @pytest.fixture
    def secure(self, google: Proxy, tmp_path: Path) -> Iterator[tuple[str, Certificate]]:
        certificate = make_certificate(tmp_path)
        with tls_server(google.port, certificate) as port:
            yield f"https://127.0.0.1:{port}", certificate

    @in_trio
    async def test_both_clients_trust_the_bundle_that_is_named(
        self,
        secure: tuple[str, Certificate],
        google_bucket: GoogleBucket,
        google: Proxy,
        gcs_stores: GcsStores,
    ) -> None:
        endpoint, certificate = secure
        google_bucket.put("key", DATA)
        with fake_google(REQUESTS_CA_BUNDLE=str(certificate.ca_file)):
            store = gcs_stores(google_bucket.url, endpoint)
            await store.probe()
            assert await read(store, "key", 0, 10, None) == DATA[:10]
        assert google.requests[-1].headers["user-agent"].startswith("object_store")

    @in_trio
    async def test_others_are_not_trusted(
        self, secure: tuple[str, Certificate], gcs_stores: GcsStores
    ) -> None:
        endpoint, _ = secure
        with pytest.raises(UnavailableError, match="certificate"):
            await gcs_stores("gs://bucket-1", endpoint).probe()

    @in_trio
    async def test_bundle_that_is_missing(
        self, secure: tuple[str, Certificate], gcs_stores: GcsStores
    ) -> None:
        endpoint, _ = secure
        with (
            fake_google(REQUESTS_CA_BUNDLE="/none"),
            pytest.raises(InvalidRequestError, match="/none") as caught,
        ):
            await gcs_stores("gs://bucket-1", endpoint).probe()
        assert "REQUESTS_CA_BUNDLE" in caught.value.advice


def _json_error(status: int, reason: str, message: str, **headers: str) -> Respond:
    body = f'{{"error": {{"message": "{message}", "errors": [{{"reason": "{reason}"}}]}}}}'
    return Respond(status, body.encode(), {"Content-Type": "application/json", **headers})


class TestWhatCannotBeOpened:
    @in_trio
    async def test_missing_bucket(self, gcs_stores: GcsStores, gcs_server: GcsServer) -> None:
        store = gcs_stores("gs://no-such-bucket", gcs_server.endpoint_url)
        with pytest.raises(BucketNotFoundError) as caught:
            await store.probe()
        assert caught.value.http_code == 404

    @in_trio
    async def test_connection_refused(self, gcs_stores: GcsStores) -> None:
        with pytest.raises(UnavailableError, match=r"^http://127\.0\.0\.1:9: .*refused"):
            await gcs_stores("gs://bucket", NOWHERE).probe()

    @pytest.mark.parametrize(
        "endpoint", ["nonsense", "ftp://host", "http://", "http://ho st", "http://host:99999"]
    )
    @in_trio
    async def test_endpoint_that_is_no_url(self, gcs_stores: GcsStores, endpoint: str) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            await gcs_stores("gs://bucket", endpoint).probe()
        assert str(caught.value) == f"{endpoint.rstrip('/')} is not the URL of a server"
        assert "--endpoint-url" in caught.value.advice

    @in_trio
    async def test_variable_that_obstore_cannot_read(
        self, gcs_stores: GcsStores, google: Proxy
    ) -> None:
        with fake_google(GOOGLE_SERVICE_ACCOUNT_KEY='{"private_key": "secret"}'):
            store = gcs_stores("gs://bucket-1", google.endpoint_url)
            with pytest.raises(InvalidRequestError, match="GOOGLE_SERVICE_ACCOUNT_KEY") as caught:
                await store.probe()
        assert "secret" not in caught.value.describe()

    @pytest.mark.parametrize(
        ("error_response", "error_class", "advice"),
        [
            (_json_error(400, "required", "Bucket is a requester pays bucket but no user project"
                           " provided."), InvalidRequestError, "--user-project"),
            (_json_error(403, "forbidden", "x does not have storage.objects.list access"),
             AccessDeniedError, "Storage Object Viewer"),
            (_json_error(403, "forbidden", "x does not have serviceusage.services.use access"),
             AccessDeniedError, "Service Usage Consumer"),
            (_json_error(403, "insufficientPermissions", "Request had insufficient authentication"
                           " scopes."), AccessDeniedError, "devstorage.read_only"),
            (_json_error(403, "accountDisabled", "the billing account is disabled"),
             AccessDeniedError, "billing"),
            (Respond(403), AccessDeniedError, "Storage Object Viewer"),
            (_json_error(401, "required", "Anonymous caller does not have access"),
             CredentialsError, "leave --no-sign-request away"),
            (_json_error(401, "authError", "Invalid Credentials"), CredentialsError,
             "gcloud auth application-default login"),
            (Respond(401), CredentialsError, "gcloud auth application-default login"),
            (_json_error(403, "userRateLimitExceeded", "too fast"), ThrottledError, ""),
        ],
        ids=lambda value: value.body.decode()[:60] if isinstance(value, Respond) else None,
    )  # fmt: skip
    @in_trio
    async def test_errors_have_advice(
        self,
        google_store: StoreInspector,
        google: Proxy,
        error_response: Respond,
        error_class: type[StoreError],
        advice: str,
    ) -> None:
        google.plan = always(error_response)
        with pytest.raises(error_class) as caught:
            await google_store.probe()
        assert type(caught.value) is error_class
        assert advice in caught.value.advice
        assert "\n" not in caught.value.describe()

    @pytest.mark.parametrize("status", [429, 503])
    @in_trio
    async def test_pause_and_request_id_are_found(
        self, google_store: StoreInspector, google: Proxy, status: int
    ) -> None:
        headers = {"Retry-After": "7", "X-GUploader-UploadID": "id-1"}
        google.plan = always(Respond(status, b"", headers))
        for question in (google_store.probe, lambda: google_store.head("key")):
            with pytest.raises((ThrottledError, UnavailableError)) as caught:
                await question()
            assert (caught.value.retry_after_s, caught.value.request_id) == (7.0, "id-1")
        assert len(google.requests) == 2  # whether to ask again is not the SDK's business
