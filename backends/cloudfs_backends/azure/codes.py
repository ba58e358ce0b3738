"""Error codes of Azure Blob Storage."""

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
    # the object
    "BlobNotFound": ObjectNotFoundError,
    "ResourceNotFound": ObjectNotFoundError,
    "PathNotFound": ObjectNotFoundError,
    "ConditionNotMet": ObjectChangedError,
    "BlobOverwritten": ObjectChangedError,
    "InvalidRange": ObjectChangedError,
    "BlobArchived": AccessDeniedError,
    "BlobBeingRehydrated": AccessDeniedError,
    "BlobUsesCustomerSpecifiedEncryption": AccessDeniedError,
    # a name that no object can have
    "InvalidUri": ObjectNotFoundError,
    "InvalidResourceName": ObjectNotFoundError,
    "OutOfRangeInput": ObjectNotFoundError,
    # the container and the account
    "ContainerNotFound": BucketNotFoundError,
    "FilesystemNotFound": BucketNotFoundError,
    "ContainerBeingDeleted": BucketNotFoundError,
    "ContainerDisabled": AccessDeniedError,
    "AccountIsDisabled": AccessDeniedError,
    "AccountBeingCreated": UnavailableError,
    "AccountRequiresHttps": InvalidRequestError,
    "InvalidHeaderValue": InvalidRequestError,
    # who asks
    "AuthenticationFailed": CredentialsError,
    "NoAuthenticationInformation": CredentialsError,
    "InvalidAuthenticationInfo": CredentialsError,
    "PublicAccessNotPermitted": CredentialsError,
    "KeyBasedAuthenticationNotPermitted": CredentialsError,
    "AuthorizationFailure": AccessDeniedError,
    "AuthorizationPermissionMismatch": AccessDeniedError,
    "AuthorizationProtocolMismatch": AccessDeniedError,
    "AuthorizationResourceTypeMismatch": AccessDeniedError,
    "AuthorizationServiceMismatch": AccessDeniedError,
    "AuthorizationSourceIPMismatch": AccessDeniedError,
    "InsufficientAccountPermissions": AccessDeniedError,
    # the customer's key that the account's data is encrypted with
    "KeyVaultAccessTokenCannotBeAcquired": AccessDeniedError,
    "KeyVaultEncryptionKeyNotFound": AccessDeniedError,
    "KeyVaultVaultNotFound": AccessDeniedError,
    # it may pass
    "ServerBusy": ThrottledError,
    "TooManyRequests": ThrottledError,
    "OperationTimedOut": UnavailableError,
    "InternalError": UnavailableError,
}

_KEY_VAULT: Final = (
    "the owner of the account has to give it access to its key in the Key Vault again"
)

ADVICE_BY_CODE: Final[dict[str, str]] = {
    "ContainerNotFound": "check the names of the container and of the account",
    "FilesystemNotFound": "check the names of the container and of the account",
    "BlobArchived": "the object is archived; rehydrate it to the hot, cool or cold tier first",
    "BlobBeingRehydrated": "the object is being rehydrated; wait until that is done",
    "BlobUsesCustomerSpecifiedEncryption": (
        "the object was written with a key of its own (CPK), which cloudfs cannot send; write it"
        " with an encryption scope instead"
    ),
    "AccountIsDisabled": "the account is disabled; see its subscription in the portal",
    "ContainerDisabled": "the container is disabled; ask the owner of the account",
    "AccountRequiresHttps": "the account wants https: check --endpoint-url",
    "InvalidHeaderValue": "this server knows another version of the protocol; see --endpoint-url",
    "PublicAccessNotPermitted": (
        "the account allows no anonymous access: leave --no-sign-request away, and run: az login"
    ),
    "KeyBasedAuthenticationNotPermitted": (
        "the account allows logins only: unset the key or SAS token, and run: az login"
    ),
    "AuthorizationFailure": (
        "the account's firewall refuses this machine's address, or the credentials permit less"
        " than to list and read: add the address, or ask for both"
    ),
    "AuthorizationPermissionMismatch": (
        "give this identity the role Storage Blob Data Reader on the account or the container; it"
        " takes effect within ten minutes"
    ),
    "AuthorizationProtocolMismatch": "the SAS token is for https only: check --endpoint-url",
    "AuthorizationResourceTypeMismatch": "make a new SAS token with srt=co and sp=rl",
    "AuthorizationServiceMismatch": "make a new SAS token with ss=b, for blobs",
    "AuthorizationSourceIPMismatch": "make a new SAS token whose sip= has this machine's address",
    "KeyVaultAccessTokenCannotBeAcquired": _KEY_VAULT,
    "KeyVaultEncryptionKeyNotFound": _KEY_VAULT,
    "KeyVaultVaultNotFound": _KEY_VAULT,
}
