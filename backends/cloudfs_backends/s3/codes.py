"""Error codes of S3 and compatible stores."""

from __future__ import annotations

from typing import Final

from cloudfs_backends.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    CredentialsError,
    InvalidRequestError,
    ObjectChangedError,
    ObjectNotFoundError,
    StoreError,
    ThrottledError,
    UnavailableError,
)

ERRORS_BY_CODE: Final[dict[str, type[StoreError]]] = {
    "NoSuchKey": ObjectNotFoundError,
    "NoSuchVersion": ObjectNotFoundError,
    "NoSuchBucket": BucketNotFoundError,
    "PreconditionFailed": ObjectChangedError,
    "InvalidRange": ObjectChangedError,
    "AccessDenied": AccessDeniedError,
    "AllAccessDisabled": AccessDeniedError,
    "AccountProblem": AccessDeniedError,
    "InvalidObjectState": AccessDeniedError,
    "InvalidAccessKeyId": CredentialsError,
    "SignatureDoesNotMatch": CredentialsError,
    "ExpiredToken": CredentialsError,
    "InvalidToken": CredentialsError,
    "TokenRefreshRequired": CredentialsError,
    "RequestTimeTooSkewed": CredentialsError,
    "ExpiredTokenException": CredentialsError,  # these three are STS's
    "InvalidClientTokenId": CredentialsError,
    "UnrecognizedClientException": CredentialsError,
    "KMS.AccessDeniedException": AccessDeniedError,
    "KMS.DisabledException": AccessDeniedError,
    "KMS.KMSInvalidStateException": AccessDeniedError,
    "KMS.NotFoundException": AccessDeniedError,
    "KMS.InvalidKeyUsageException": InvalidRequestError,
    "KMS.ThrottlingException": ThrottledError,
    "KMS.DependencyTimeoutException": UnavailableError,
    "KMS.KMSInternalException": UnavailableError,
    "SlowDown": ThrottledError,
    "TooManyRequests": ThrottledError,
    "TooManyRequestsException": ThrottledError,
    "Throttling": ThrottledError,
    "ThrottlingException": ThrottledError,
    "RequestLimitExceeded": ThrottledError,
    "BandwidthLimitExceeded": ThrottledError,
    "RequestTimeout": UnavailableError,
    "OperationAborted": UnavailableError,
    "InternalError": UnavailableError,
    "ServiceUnavailable": UnavailableError,
}

_GRANT: Final = (
    "grant this identity list and read permission on the bucket and prefix (s3:ListBucket,"
    " s3:GetObject), and kms:Decrypt on the KMS key if one encrypts; a bucket whose requesters pay"
    " needs --requester-pays"
)
_EXPIRED: Final = "the store names no cause; see whether the credentials expired"
_ENCRYPTED: Final = "an object encrypted with a customer key needs it in --sse-customer-key"
_NOT_ENCRYPTED: Final = "an object not encrypted with --sse-customer-key must be read without it"

ADVICE_BY_CODE: Final = {
    "AccessDenied": _GRANT,
    "AllAccessDisabled": _GRANT,
    "RequestTimeTooSkewed": "set this machine's clock (NTP)",
    "InvalidAccessKeyId": "check the access key, and that it belongs to this endpoint",
    "InvalidClientTokenId": "check the access key, and that it was not deleted",
    "SignatureDoesNotMatch": "check the secret key, that it is for this endpoint, and the clock",
    "InvalidObjectState": "the object is archived; restore it before reading",
    "AuthorizationHeaderMalformed": "name the bucket's region with --region",
    "PermanentRedirect": "name the bucket's region with --region",
    "InvalidRequest": f"report it with the request id, unless the cause is that {_ENCRYPTED}",
    "KMS.AccessDeniedException": "grant this identity kms:Decrypt on the object's KMS key",
    "KMS.DisabledException": "enable the object's KMS key",
    "KMS.KMSInvalidStateException": "enable the object's KMS key, or cancel its deletion",
    "KMS.NotFoundException": "the object's KMS key is gone; the object cannot be read without it",
    "KMS.ThrottlingException": "KMS throttles; use S3 Bucket Keys or ask for a higher quota",
    "400": f"{_EXPIRED}; {_ENCRYPTED}",
    "403": _GRANT,
}
"""The fix by error code, or by status without one: the response to a HEAD has no body."""

_WRONG_KEY: Final = f"see whether --sse-customer-key is the key of these objects; {_GRANT}"

CUSTOMER_KEY_ADVICE: Final = {
    "AccessDenied": _WRONG_KEY,
    "InvalidRequest": _NOT_ENCRYPTED,
    "400": f"{_EXPIRED}; {_NOT_ENCRYPTED}",
    "403": _WRONG_KEY,
}
"""The advice that differs for a mount with a customer key."""
