"""Identities of GCS: credentials as google-auth finds them, tokens as it fetches them.

The token server and the metadata server are the test's: no request leaves this machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from cloudfs_backends.common.introspection import Identity, StoreInspector
from cloudfs_backends.errors import CredentialsError, UnavailableError
from tests.contract.gcs_world import NOWHERE, GcsStores
from tests.contract.in_trio import in_trio
from tests.contract.world import DATA, read
from tests.support.environment import without_credentials
from tests.support.gcs import fake_google
from tests.support.google import GoogleBucket, TokenIssuer, service_account_file
from tests.support.proxy import Action, ProxiedRequest, Proxy, Respond, is_get_object

pytestmark = pytest.mark.usefixtures("_google")

EMAIL = "reader@lab.iam.gserviceaccount.com"
LOGIN = "gcloud auth application-default login"


@pytest.fixture
def issuer(google: Proxy, google_bucket: GoogleBucket) -> TokenIssuer:
    """Beside the bucket, on the same wire."""
    issuer = TokenIssuer()

    def plan(request: ProxiedRequest) -> Action:
        return issuer(request) if request.target == "/token" else google_bucket(request)

    google.plan = plan
    return issuer


@pytest.fixture
def account(_google: None, google: Proxy, issuer: TokenIssuer, tmp_path: Path) -> Iterator[str]:
    """The environment names the key of a service account."""
    path = service_account_file(tmp_path / "key.json", f"{google.endpoint_url}/token")
    with fake_google(GOOGLE_APPLICATION_CREDENTIALS=path):
        yield path


@pytest.fixture
def store(google_bucket: GoogleBucket, google: Proxy, gcs_stores: GcsStores) -> StoreInspector:
    return gcs_stores(google_bucket.url, google.endpoint_url, no_sign_request=False)


def _authorizations(google: Proxy) -> list[str | None]:
    return [request.headers.get("authorization") for request in google.requests
            if request.target != "/token"]  # fmt: skip


@pytest.mark.usefixtures("account")
class TestTokens:
    @in_trio
    async def test_one_is_shared_by_both_clients_and_all_threads(
        self, store: StoreInspector, google: Proxy, google_bucket: GoogleBucket, issuer: TokenIssuer
    ) -> None:
        google_bucket.put("key", DATA)
        google_bucket.put("a//b", DATA)
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(store.head, "key")
                nursery.start_soon(read, store, "key", 0, 10, None)
                nursery.start_soon(read, store, "a//b", 0, 10, None)
        assert issuer.issued == 1
        assert set(_authorizations(google)) == {"Bearer token-1"}
        assert google.count(is_get_object) == 40

    @in_trio
    async def test_renewed_one_reaches_both_clients(
        self, store: StoreInspector, google: Proxy, google_bucket: GoogleBucket, issuer: TokenIssuer
    ) -> None:
        """Each of these tokens is at its end when it comes."""
        issuer.life_s = 0
        google_bucket.put("key", DATA)
        google_bucket.put("a//b", DATA)
        for key in ("key", "a//b", "key"):
            before = issuer.issued
            assert await read(store, key, 0, 10, None) == DATA[:10]
            assert issuer.issued > before
            assert _authorizations(google)[-1] == f"Bearer token-{issuer.issued}"
        await store.head("key")
        assert _authorizations(google)[-1] == f"Bearer token-{issuer.issued}"

    @in_trio
    async def test_obstore_takes_no_other(
        self, store: StoreInspector, google: Proxy, google_bucket: GoogleBucket
    ) -> None:
        google_bucket.put("key", DATA)
        # The fixture puts these back.
        os.environ.update(GOOGLE_BEARER_TOKEN="stray", GOOGLE_SKIP_SIGNATURE="true")
        await read(store, "key", 0, 10, None)
        assert _authorizations(google) == ["Bearer token-1"]

    @pytest.mark.parametrize("variable", ["", "quota-project"])
    @in_trio
    async def test_project_that_pays(
        self,
        variable: str,
        google: Proxy,
        google_bucket: GoogleBucket,
        gcs_stores: GcsStores,
    ) -> None:
        """The option goes before what the credentials say."""
        os.environ["GOOGLE_CLOUD_QUOTA_PROJECT"] = variable  # the fixture puts it back
        for option, payer in ((None, variable or None), ("lab", "lab")):
            google_bucket.payer = payer
            google_bucket.put("key", DATA)
            store = gcs_stores(
                google_bucket.url, google.endpoint_url, no_sign_request=False, user_project=option
            )
            await store.probe()
            assert await read(store, "key", 0, 10, None) == DATA[:10]


class TestWhoAmI:
    @in_trio
    async def test_service_account(self, store: StoreInspector, account: str) -> None:
        assert await store.identify() == Identity(
            EMAIL,
            "service account",
            f"{account} file via the GOOGLE_APPLICATION_CREDENTIALS environment variable",
        )

    @in_trio
    async def test_anonymous(self, gcs_stores: GcsStores) -> None:
        identity = await gcs_stores("gs://bucket", NOWHERE).identify()
        assert identity == Identity("anonymous", "anonymous", "--no-sign-request")

    @in_trio
    async def test_workload_identity(
        self, store: StoreInspector, google: Proxy, google_bucket: GoogleBucket,
        issuer: TokenIssuer, tmp_path: Path,
    ) -> None:  # fmt: skip
        pool = "locations/global/workforcePools/lab/providers/cluster"
        token = tmp_path / "token"
        token.write_text("of the cluster")
        path = tmp_path / "workload.json"
        path.write_text(
            json.dumps(
                {
                    "type": "external_account",
                    "audience": f"//iam.googleapis.com/{pool}",
                    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                    "token_url": f"{google.endpoint_url}/token",
                    "credential_source": {"file": str(token)},
                }
            )
        )
        google_bucket.put("key", DATA)
        with fake_google(GOOGLE_APPLICATION_CREDENTIALS=str(path)):
            identity = await store.identify()
            assert await read(store, "key", 0, 10, None) == DATA[:10]
        assert (identity.name, identity.kind) == (pool, "workload identity")
        assert str(path) in identity.source
        assert issuer.issued == 1
        assert _authorizations(google) == ["Bearer token-1"]

    def test_machine_with_a_metadata_server(self, google: Proxy) -> None:
        """In a process of its own: google-auth looks at the variable when it is imported."""
        google.plan = _metadata_server
        program = (
            "import trio\n"
            "from cloudfs_backends.registry import open_inspector\n"
            "from cloudfs_backends.api import StoreOptions\n"
            f"store = open_inspector('gs://bucket', StoreOptions(endpoint_url='{NOWHERE}'))\n"
            "me = trio.run(store.identify)\n"
            "print(me.name, me.kind, me.source, sep='|')\n"
        )
        host = google.endpoint_url.removeprefix("http://")
        environment = {
            **without_credentials(os.environ),
            "GCE_METADATA_HOST": host,
            "GCE_METADATA_IP": host,
            "NO_GCE_CHECK": "false",
        }
        # Google's libraries complain of Python's age, at times.
        command = [sys.executable, "-W", "ignore::FutureWarning", "-c", program]
        answer = subprocess.run(command, env=environment, check=True, capture_output=True)
        assert answer.stdout.decode().strip() == (
            f"{EMAIL}|service account of this machine|metadata server"
        )
        assert answer.stderr == b""


def _metadata_server(request: ProxiedRequest) -> Action:
    path = request.target.partition("?")[0]
    json_type = {"Content-Type": "application/json", "Metadata-Flavor": "Google"}
    if path.endswith("/token"):
        body = {"access_token": "token-1", "expires_in": 3600, "token_type": "Bearer"}
        return Respond(200, json.dumps(body).encode(), json_type)
    if path.endswith("/service-accounts/default/"):
        body = {"email": EMAIL, "scopes": ["scope"], "aliases": ["default"]}
        return Respond(200, json.dumps(body).encode(), json_type)
    return Respond(200, b"lab", {"Metadata-Flavor": "Google", "Content-Type": "text/plain"})


class TestNoIdentity:
    @in_trio
    async def test_none_is_found(self, store: StoreInspector, google: Proxy) -> None:
        for question in (store.probe, store.identify, lambda: store.head("key")):
            with pytest.raises(CredentialsError) as caught:
                await question()
            assert f"run: {LOGIN}" in caught.value.advice
            assert "--no-sign-request" in caught.value.advice
            assert "\n" not in caught.value.describe()
        assert google.requests == []

    @pytest.mark.parametrize(
        "content",
        [None, "nonsense", "[]", "{}", '{"type": "service_account"}', "\xff",
         '{"type": "external_account", "audience": 7}',
         '{"type": "service_account", "client_email": "a", "token_uri": "b", "private_key": "c"}'],
    )  # fmt: skip
    @in_trio
    async def test_file_that_is_none_of_googles(
        self, store: StoreInspector, tmp_path: Path, content: str | None
    ) -> None:
        path = tmp_path / "key.json"
        if content is not None:
            path.write_text(content, encoding="latin-1")
        with (
            fake_google(GOOGLE_APPLICATION_CREDENTIALS=str(path)),
            pytest.raises(CredentialsError) as caught,
        ):
            await store.probe()
        assert "GOOGLE_APPLICATION_CREDENTIALS" in caught.value.advice
        assert "\n" not in caught.value.describe()

    @in_trio
    async def test_file_that_is_a_folder(self, store: StoreInspector, tmp_path: Path) -> None:
        with (
            fake_google(GOOGLE_APPLICATION_CREDENTIALS=str(tmp_path)),
            pytest.raises(CredentialsError, match=str(tmp_path)),
        ):
            await store.probe()

    @pytest.mark.usefixtures("account")
    @in_trio
    async def test_login_that_has_expired(self, store: StoreInspector, issuer: TokenIssuer) -> None:
        body = b'{"error": "invalid_grant", "error_description": "Account has been deleted"}'
        issuer.error_response = Respond(400, body, {"Content-Type": "application/json"})
        for question in (store.probe, store.identify, lambda: read(store, "key", 0, 1, None)):
            with pytest.raises(CredentialsError, match="Account has been deleted") as caught:
                await question()
            assert f"run: {LOGIN}" in caught.value.advice
            assert "error_description" not in caught.value.describe()

    @pytest.mark.usefixtures("account")
    @in_trio
    async def test_token_that_the_store_refuses(self, store: StoreInspector, google: Proxy,
                                                issuer: TokenIssuer) -> None:  # fmt: skip
        error_response = Respond(401, b'{"error": {"errors": [{"reason": "authError"}]}}')
        google.plan = lambda request: (
            issuer(request) if request.target == "/token" else error_response
        )
        for question in (store.probe, lambda: read(store, "key", 0, 1, None)):
            with pytest.raises(CredentialsError) as caught:
                await question()
            assert LOGIN in caught.value.advice
            assert "token-" not in caught.value.describe()
        assert issuer.issued == 1

    @in_trio
    async def test_token_server_unreachable(self, store: StoreInspector, tmp_path: Path) -> None:
        path = service_account_file(tmp_path / "key.json", f"{NOWHERE}/token")
        with (
            fake_google(GOOGLE_APPLICATION_CREDENTIALS=path),
            pytest.raises(UnavailableError, match=r"^no access token: .*refused"),
        ):
            await store.probe()

    @pytest.mark.usefixtures("account")
    @in_trio
    async def test_answer_that_is_no_token(
        self, store: StoreInspector, issuer: TokenIssuer
    ) -> None:
        """As of a network that first wants to be logged in to."""
        issuer.error_response = Respond(200, b"<html>welcome</html>")
        with pytest.raises(CredentialsError) as caught:
            await store.probe()
        assert "\n" not in caught.value.describe()
