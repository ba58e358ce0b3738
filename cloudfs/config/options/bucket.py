"""Options that name the bucket, its endpoint and the credentials."""

from __future__ import annotations

from typing import Final

from cloudfs.config.option import Heading, Option
from cloudfs.config.types import ENDPOINT, FILE, SWITCH, TEXT, URL

OPTIONS: Final = (
    Option(
        "url",
        URL,
        Heading.BUCKET,
        "Bucket or prefix to mount: s3://bucket/prefix, gs://, az://, file:///folder.",
        setting=False,
        argument=True,
    ),
    Option(
        "region",
        TEXT,
        Heading.BUCKET,
        "Region of the bucket.",
        default_text="from the environment or the profile",
    ),
    Option(
        "force_path_style",
        SWITCH,
        Heading.BUCKET,
        "Write the bucket into the path of requests instead of the host name.",
        default=False,
    ),
    Option(
        "endpoint_url",
        ENDPOINT,
        Heading.ENDPOINT,
        "Address of a compatible store or an emulator.",
        default_text="the cloud's own",
    ),
    Option(
        "profile",
        TEXT,
        Heading.ENDPOINT,
        "Named profile of the AWS configuration to take credentials from.",
        default_text="the SDK's default",
    ),
    Option(
        "no_sign_request",
        SWITCH,
        Heading.ENDPOINT,
        "Send anonymous requests, for public buckets.",
        default=False,
    ),
    Option(
        "requester_pays",
        SWITCH,
        Heading.ENDPOINT,
        "Pay for the requests to an S3 bucket whose owner does not.",
        default=False,
    ),
    Option(
        "sse_customer_key",
        FILE,
        Heading.ENDPOINT,
        "File with the key (32 bytes, raw or base64) that S3 objects are encrypted with (SSE-C).",
    ),
    Option(
        "user_project",
        TEXT,
        Heading.ENDPOINT,
        "Google Cloud project that pays for the requests.",
    ),
    Option(
        "azure_account",
        TEXT,
        Heading.ENDPOINT,
        "Azure storage account of the container.",
        default_text="from AZURE_STORAGE_ACCOUNT or the connection string",
    ),
)
