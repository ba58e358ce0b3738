"""TLS on the loopback: faulty certificates, a server in front of a plain HTTP one, a proxy.

Everything listens on 127.0.0.1, in one thread for each server, and ends with its context manager.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_Streams = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Certificate:
    """A server's certificate with its key in one PEM file, and the file of its issuer."""

    file: Path
    ca_file: Path


def make_certificate(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    self_signed: bool = False,
    valid_from: timedelta = timedelta(days=-2),
    valid_until: timedelta = timedelta(days=2),
) -> Certificate:
    """Make a certificate for `host` (an address or a name), signed by a CA of its own or by
    itself. The times are relative to now."""
    key, ca_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    name, ca_name = _name("the server"), _name("the test's CA")
    now = datetime.now(UTC)
    builder = (
        _builder(name, name if self_signed else ca_name, key)
        .not_valid_before(now + valid_from)
        .not_valid_after(now + valid_until)
        .add_extension(x509.SubjectAlternativeName([_alternative(host)]), critical=False)
    )
    signed = builder.sign(key if self_signed else ca_key, hashes.SHA256())
    ca = (
        _builder(ca_name, ca_name, ca_key)
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(now + timedelta(days=10))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    made = Certificate(folder / "server.pem", folder / "ca.pem")
    made.ca_file.write_bytes(_pem(signed if self_signed else ca))
    made.file.write_bytes(_pem(signed) + _pem_of_key(key))
    return made


@contextmanager
def tls_server(upstream_port: int, certificate: Certificate) -> Iterator[int]:
    """Speak TLS in front of 127.0.0.1:`upstream_port`; gives the port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.file)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _join(reader, writer, "127.0.0.1", upstream_port)

    with _serving(serve, context) as port:
        yield port


@contextmanager
def connect_proxy(status: str = "200 Connection established") -> Iterator[tuple[int, list[str]]]:
    """Answer CONNECT requests with `status`, and connect if that is a success; gives the port and
    the heads of the requests as they come in."""
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        heads.append(head)
        writer.write(f"HTTP/1.1 {status}\r\n\r\n".encode())
        if status.startswith("200"):
            host, _, port = head.split(" ")[1].rpartition(":")
            await _join(reader, writer, host, int(port))

    with _serving(serve) as port:
        yield port, heads


async def _join(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
) -> None:
    """Pass bytes both ways until either side ends."""
    up_reader, up_writer = await asyncio.open_connection(host, port)
    try:
        ways = [_pump(reader, up_writer), _pump(up_reader, writer)]
        tasks = [asyncio.ensure_future(way) for way in ways]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        up_writer.transport.abort()
        await _closed(up_writer)


async def _closed(writer: asyncio.StreamWriter) -> None:
    """Wait until the socket is closed, which the loop does later."""
    with suppress(OSError):
        await writer.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


@contextmanager
def _serving(serve: _Streams, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Run a server in a thread of its own; what clients do wrong is theirs."""
    loop = asyncio.new_event_loop()
    connections: set[asyncio.Task[None]] = set()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await serve(reader, writer)
            writer.close()
            await _closed(writer)
        except asyncio.CancelledError:  # the test is over, whatever the client thinks
            writer.transport.abort()
            await _closed(writer)
        connections.discard(task)

    async def end() -> None:
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    loop.set_exception_handler(lambda *_: None)
    server = loop.run_until_complete(asyncio.start_server(connection, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever, name="test-tls", daemon=True)
    thread.start()
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _pem_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
