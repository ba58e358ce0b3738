"""TLS to an endpoint, and what is wrong with its certificate. It blocks."""

from __future__ import annotations

import os
import socket
import ssl
from typing import Final
from urllib.parse import SplitResult

from cloudfs.doctor.probes.failures import NetworkError, Trouble, host_and_port, reason_of

# OpenSSL's numbers, X509_V_ERR_*; `ssl` has no names for them.
_EARLY, _EXPIRED, _SELF_SIGNED, _HOSTNAME, _ADDRESS = 9, 10, 18, 62, 64
_UNKNOWN_ISSUERS: Final = frozenset({2, 19, 20, 21})


def secured(sock: socket.socket, url: SplitResult, ca_bundle: str | None) -> ssl.SSLSocket:
    """Return the connection with TLS on it. `ca_bundle` is what to trust instead of the system's
    CA certificates. Raises `NetworkError`."""
    host, port = host_and_port(url)
    trust, limit_s = _trust(ca_bundle), sock.gettimeout()  # wrapping takes `sock` away
    try:
        return trust.wrap_socket(sock, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        trouble, words = _certificate_trouble(error, host)
        raise NetworkError(trouble, f"the certificate of {host} {words}") from error
    except TimeoutError as error:
        message = f"{host} port {port} begins no TLS within {limit_s:g} s"
        raise NetworkError(Trouble.TLS, message) from error
    except OSError as error:
        message = f"{host} port {port} speaks no TLS: {reason_of(error)}"
        raise NetworkError(Trouble.TLS, message) from error


def _trust(ca_bundle: str | None) -> ssl.SSLContext:
    if ca_bundle is None:
        return ssl.create_default_context()
    try:
        if os.path.isdir(ca_bundle):
            return ssl.create_default_context(capath=ca_bundle)
        return ssl.create_default_context(cafile=ca_bundle)
    except OSError as error:  # an SSLError is one
        message = f"the CA certificates in {ca_bundle} cannot be read: {reason_of(error)}"
        raise NetworkError(Trouble.BUNDLE, message) from error


def _certificate_trouble(error: ssl.SSLCertVerificationError, host: str) -> tuple[Trouble, str]:
    code = error.verify_code
    if code == _EXPIRED:
        return Trouble.EXPIRED, "has expired"
    if code == _EARLY:
        return Trouble.EARLY, "is not valid yet"
    if code == _SELF_SIGNED:
        return Trouble.SELF_SIGNED, "is self-signed"
    if code in _UNKNOWN_ISSUERS:
        return Trouble.UNKNOWN_ISSUER, "is signed by a CA that is not trusted here"
    if code in {_HOSTNAME, _ADDRESS}:
        return Trouble.OTHER_NAME, f"is for another name than {host}"
    return Trouble.CERTIFICATE, f"is not accepted: {error.verify_message}"
