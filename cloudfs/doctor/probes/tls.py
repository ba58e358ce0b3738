"""TLS handshakes, and the classification of certificate errors. Blocking."""

from __future__ import annotations

import os
import socket
import ssl
from typing import Final
from urllib.parse import SplitResult

from cloudfs.doctor.probes.network_errors import (
    NetworkError,
    NetworkFailure,
    host_and_port,
    reason_of,
)

# OpenSSL's numbers, X509_V_ERR_*; `ssl` has no names for them.
_EARLY, _EXPIRED, _SELF_SIGNED, _HOSTNAME, _ADDRESS = 9, 10, 18, 62, 64
_UNKNOWN_ISSUERS: Final = frozenset({2, 19, 20, 21})


def wrap(sock: socket.socket, url: SplitResult, ca_bundle: str | None) -> ssl.SSLSocket:
    """Do the TLS handshake; `ca_bundle` replaces the CA certificates of the system.

    Raises `NetworkError`.
    """
    host, port = host_and_port(url)
    trust, timeout_s = _trust(ca_bundle), sock.gettimeout()  # wrapping detaches `sock`
    try:
        return trust.wrap_socket(sock, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        failure, words = _certificate_failure(error, host)
        raise NetworkError(failure, f"the certificate of {host} {words}") from error
    except TimeoutError as error:
        message = f"{host} port {port} begins no TLS within {timeout_s:g} s"
        raise NetworkError(NetworkFailure.TLS, message) from error
    except OSError as error:
        message = f"{host} port {port} speaks no TLS: {reason_of(error)}"
        raise NetworkError(NetworkFailure.TLS, message) from error


def _trust(ca_bundle: str | None) -> ssl.SSLContext:
    if ca_bundle is None:
        return ssl.create_default_context()
    try:
        if os.path.isdir(ca_bundle):
            return ssl.create_default_context(capath=ca_bundle)
        return ssl.create_default_context(cafile=ca_bundle)
    except OSError as error:  # an SSLError is one
        message = f"the CA certificates in {ca_bundle} cannot be read: {reason_of(error)}"
        raise NetworkError(NetworkFailure.BUNDLE, message) from error


def _certificate_failure(
    error: ssl.SSLCertVerificationError, host: str
) -> tuple[NetworkFailure, str]:
    code = error.verify_code
    if code == _EXPIRED:
        return NetworkFailure.EXPIRED, "has expired"
    if code == _EARLY:
        return NetworkFailure.EARLY, "is not valid yet"
    if code == _SELF_SIGNED:
        return NetworkFailure.SELF_SIGNED, "is self-signed"
    if code in _UNKNOWN_ISSUERS:
        return NetworkFailure.UNKNOWN_ISSUER, "is signed by a CA that is not trusted here"
    if code in {_HOSTNAME, _ADDRESS}:
        return NetworkFailure.OTHER_NAME, f"is for another name than {host}"
    return NetworkFailure.CERTIFICATE, f"is not accepted: {error.verify_message}"
