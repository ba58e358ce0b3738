"""The checks on the other clouds: on their emulators, and on what answers as Google does."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from cloudfs.doctor.findings import Result
from cloudfs.errors import ExitCode
from tests.contract.in_trio import in_trio
from tests.support.azure import AzureBucket, AzureServer, azure_environment
from tests.support.gcs import GcsBucket, GcsServer
from tests.support.google import GoogleBucket, TokenIssuer, service_account_file
from tests.support.proxy import proxy
from tests.unit.cloudfs.doctor.examined import UNKNOWN_DOMAIN, findings_of, unwell

NOBODY = 9
"""The discard port: these wires answer by themselves."""


@pytest.fixture(scope="module")
def gcs_bucket(gcs_server: GcsServer) -> GcsBucket:
    made = gcs_server.bucket("doctorsbucket")
    made.put("data/key", b"0123456789")
    return made


@pytest.fixture(scope="module")
def azure_bucket(azure_server: AzureServer) -> AzureBucket:
    made = azure_server.bucket("doctors-container")
    made.put("data/key", b"0123456789")
    return made


class TestGoogle:
    @in_trio
    async def test_the_emulator_cannot_be_relied_on(self, gcs_bucket: GcsBucket) -> None:
        """It ignores ifGenerationMatch and names no generation, and obstore lacks Last-Modified."""
        found = await findings_of(
            f"{gcs_bucket.url}/data", endpoint_url=gcs_bucket.endpoint_url, no_sign_request="true"
        )
        assert unwell(found) == {"versions": Result.FAILURE, "bytes": Result.WARNING}
        assert found["versions"].facts == {"refused_by": None}
        assert "Last-Modified" in found["bytes"].text
        assert "google-cloud-storage" in found["setup"].text

    @in_trio
    async def test_no_credentials(self, gcs_bucket: GcsBucket) -> None:
        found = await findings_of(gcs_bucket.url, endpoint_url=gcs_bucket.endpoint_url)
        assert unwell(found) == {"identity": Result.FAILURE}
        assert found["identity"].exit_code is ExitCode.CREDENTIALS
        assert "GOOGLE_APPLICATION_CREDENTIALS" in found["identity"].fix

    @in_trio
    async def test_a_service_account(self, tmp_path: Path) -> None:
        bucket = GoogleBucket("bucket")
        bucket.put("key", b"0123456789")
        with proxy(NOBODY, bucket) as wire, proxy(NOBODY, TokenIssuer()) as issuer:
            account = service_account_file(tmp_path / "key.json", f"{issuer.endpoint_url}/token")
            os.environ["GOOGLE_APPLICATION_CREDENTIALS"] = account
            found = await findings_of(bucket.url, endpoint_url=wire.endpoint_url)
        assert unwell(found) == {}
        assert found["identity"].facts["name"] == "reader@lab.iam.gserviceaccount.com"
        assert found["versions"].facts == {"refused_by": "store"}
        assert found["bytes"].facts == {"byte_path": "obstore"}
        assert found["region"].text == "EUROPE-WEST4 (region)"

    @in_trio
    async def test_no_tokens_are_issued(self, tmp_path: Path) -> None:
        """That is a warning: the identity service may be unreachable where the bucket is not."""
        bucket = GoogleBucket("bucket")
        account = service_account_file(tmp_path / "key.json", f"http://127.0.0.1:{NOBODY}/token")
        os.environ["GOOGLE_APPLICATION_CREDENTIALS"] = account
        with proxy(NOBODY, bucket) as wire:
            found = await findings_of(bucket.url, endpoint_url=wire.endpoint_url)
        assert unwell(found) == {"identity": Result.WARNING, "list": Result.FAILURE}
        assert found["list"].exit_code is ExitCode.UNREACHABLE

    @in_trio
    async def test_a_bucket_whose_requesters_pay(self) -> None:
        bucket = GoogleBucket("bucket", payer="lab")
        with proxy(NOBODY, bucket) as wire:
            found = await findings_of(
                bucket.url, endpoint_url=wire.endpoint_url, no_sign_request="true"
            )
        assert unwell(found) == {"list": Result.FAILURE}
        assert "--user-project" in found["list"].fix


class TestAzure:
    @pytest.fixture(autouse=True)
    def _account(self, _environment: None) -> None:
        os.environ.update(azure_environment())

    @pytest.fixture
    def sas(self, azure_bucket: AzureBucket) -> None:
        """A SAS token that permits too little and ends soon, instead of the key."""
        del os.environ["AZURE_STORAGE_KEY"]
        token = azure_bucket.sas("l", timedelta(minutes=30))
        os.environ["AZURE_STORAGE_SAS_TOKEN"] = token

    @in_trio
    async def test_the_key_of_the_account(
        self, azure_bucket: AzureBucket, azure_server: AzureServer
    ) -> None:
        found = await findings_of(
            f"{azure_bucket.url}/data", endpoint_url=azure_server.endpoint_url
        )
        assert unwell(found) == {}
        facts = found["identity"].facts
        assert (facts["name"], facts["kind"]) == ("devstoreaccount1", "account key")
        assert facts["source"] == "AZURE_STORAGE_KEY"
        assert found["bytes"].facts == {"byte_path": "obstore"}
        assert os.environ["AZURE_STORAGE_KEY"] not in repr(found)

    @pytest.mark.usefixtures("sas")
    @in_trio
    async def test_a_sas_token(self, azure_bucket: AzureBucket, azure_server: AzureServer) -> None:
        found = await findings_of(azure_bucket.url, endpoint_url=azure_server.endpoint_url)
        assert unwell(found) == {"identity": Result.WARNING, "read": Result.FAILURE}
        assert found["identity"].facts["expires_at"] is not None
        assert found["read"].exit_code is ExitCode.CREDENTIALS
        assert "sp=rl" in found["read"].fix
        assert "sig=" not in repr(found)

    @in_trio
    async def test_no_container(self, azure_server: AzureServer) -> None:
        found = await findings_of("az://no-such-one", endpoint_url=azure_server.endpoint_url)
        assert unwell(found) == {"list": Result.FAILURE}
        assert found["list"].exit_code is ExitCode.BUCKET
        assert "container" in found["list"].fix

    @in_trio
    async def test_no_account(self) -> None:
        del os.environ["AZURE_STORAGE_ACCOUNT"]
        found = await findings_of("az://container")
        assert unwell(found) == {"setup": Result.FAILURE}
        assert found["setup"].exit_code is ExitCode.USAGE
        assert "abfss://container@account." in found["setup"].fix

    @in_trio
    async def test_an_account_that_does_not_exist(self) -> None:
        found = await findings_of(f"abfss://container@nosuchone.dfs.{UNKNOWN_DOMAIN}")
        assert unwell(found) == {"reach": Result.FAILURE}
        assert "account" in found["reach"].fix
