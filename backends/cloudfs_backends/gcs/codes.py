"""Error codes of Google Cloud Storage.

Its XML interface, which obstore uses, has error codes; its JSON interface, which the SDK uses, has
reasons. Both are keys here.
"""

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
    "conditionNotMet": ObjectChangedError,
    "InvalidRange": ObjectChangedError,
    "requestedRangeNotSatisfiable": ObjectChangedError,
    "AccessDenied": AccessDeniedError,
    "forbidden": AccessDeniedError,
    "AccountProblem": AccessDeniedError,
    "accountDisabled": AccessDeniedError,
    "UserProjectAccessDenied": AccessDeniedError,
    "UserProjectAccountProblem": AccessDeniedError,
    "userProjectAccountProblem": AccessDeniedError,
    "InsufficientScopes": AccessDeniedError,
    "vpcServiceControls": AccessDeniedError,
    "UserProjectMissing": InvalidRequestError,
    "UserProjectInvalid": InvalidRequestError,
    "ResourceIsEncryptedWithCustomerEncryptionKey": InvalidRequestError,
    "resourceIsEncryptedWithCustomerEncryptionKey": InvalidRequestError,
    "AuthenticationRequired": CredentialsError,
    "authError": CredentialsError,
    "ExpiredToken": CredentialsError,
    "InvalidSecurity": CredentialsError,
    "RequestTimeTooSkewed": CredentialsError,
    "SlowDown": ThrottledError,
    "TooManyRequests": ThrottledError,
    "rateLimitExceeded": ThrottledError,
    "userRateLimitExceeded": ThrottledError,
    "quotaExceeded": ThrottledError,
    "dailyLimitExceeded": ThrottledError,
    "RequestTimeout": UnavailableError,
    "InternalError": UnavailableError,
    "ServiceUnavailable": UnavailableError,
    "backendError": UnavailableError,
}

_GRANT: Final = (
    "grant the role Storage Object Viewer (storage.objects.list and storage.objects.get) on the"
    " bucket"
)
_PAYER: Final = "the bucket's owner lets requesters pay: name your project with --user-project"
_ENABLE_BILLING: Final = "enable billing for the project that pays"
_CUSTOMER_KEY: Final = (
    "the object is encrypted with a customer's key, which gs:// has no option for"
)

ADVICE_BY_CODE: Final = {
    "AccessDenied": _GRANT,
    "forbidden": _GRANT,
    "AccountProblem": _ENABLE_BILLING,
    "accountDisabled": _ENABLE_BILLING,
    "UserProjectAccountProblem": _ENABLE_BILLING,
    "userProjectAccountProblem": _ENABLE_BILLING,
    "UserProjectMissing": _PAYER,
    "UserProjectInvalid": "check the project that --user-project names",
    "UserProjectAccessDenied": (
        "grant the role Service Usage Consumer (serviceusage.services.use) on the project that"
        " pays, or name another one with --user-project"
    ),
    "InsufficientScopes": "give this machine's service account the scope devstorage.read_only",
    "vpcServiceControls": "a perimeter of VPC Service Controls keeps this machine out",
    "ResourceIsEncryptedWithCustomerEncryptionKey": _CUSTOMER_KEY,
    "resourceIsEncryptedWithCustomerEncryptionKey": _CUSTOMER_KEY,
    "AuthenticationRequired": (
        "the bucket is not public: leave --no-sign-request away and run: gcloud auth"
        " application-default login"
    ),
    "RequestTimeTooSkewed": "set this machine's clock (NTP)",
}

CODES_BY_MESSAGE: Final = (
    (400, "requester pays", "UserProjectMissing"),
    (400, "user project specified in the request is invalid", "UserProjectInvalid"),
    (401, "anonymous caller", "AuthenticationRequired"),
    (403, "serviceusage.services.use", "UserProjectAccessDenied"),
    (403, "authentication scopes", "InsufficientScopes"),
    (404, "bucket does not exist", "NoSuchBucket"),
)
"""Codes for ambiguous JSON reasons: status, words of the message in lower case, and the code that
the XML interface has for it."""

CODES_BY_STATUS: Final = {401: "authError", 403: "forbidden"}
"""The reason of a response that has neither a code nor a reason."""
