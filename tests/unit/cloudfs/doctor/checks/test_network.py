"""HEAD requests over real sockets, and the failure of each step."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cloudfs.doctor.probes import network
from cloudfs.doctor.probes.network import HeadResponse, ProbedEndpoint, send_head
from cloudfs.doctor.probes.network_errors import NetworkError
from cloudfs.doctor.probes.network_errors import NetworkFailure as Failure
from cloudfs.doctor.probes.proxies import Proxy
from tests.support.proxy import Proxy as Wire
from tests.support.proxy import Respond, always
from tests.support.stores import S3Server
from tests.support.tls import connect_proxy, make_certificate, tls_server
from tests.unit.cloudfs.doctor.examined import UNKNOWN_DOMAIN


def failure_of(endpoint: ProbedEndpoint) -> tuple[Failure, str]:
    with pytest.raises(NetworkError) as caught:
        send_head(endpoint)
    return caught.value.failure, str(caught.value)


@contextmanager
def listener() -> Iterator[int]:
    """A socket that takes connections into its backlog and says nothing; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]


class TestPlain:
    def test_a_response_of_any_status(self, wire: Wire) -> None:
        date = "Sun, 06 Nov 1994 08:49:37 GMT"
        wire.plan = always(Respond(418, headers={"Date": date}))
        response = send_head(ProbedEndpoint(f"{wire.endpoint_url}/some/path?sig=secret"))
        assert (response.status, response.date) == (418, date)
        assert list(response.steps) == ["name", "tcp", "http"]
        (request,) = wire.requests
        assert (request.method, request.target) == ("HEAD", "/some/path")
        assert request.headers["host"] == f"127.0.0.1:{wire.port}"
        assert "authorization" not in request.headers

    def test_no_name(self) -> None:
        failure, said = failure_of(ProbedEndpoint(f"http://{UNKNOWN_DOMAIN}"))
        assert failure is Failure.NAME
        assert UNKNOWN_DOMAIN in said

    def test_a_name_that_is_not_valid(self) -> None:
        assert failure_of(ProbedEndpoint(f"http://{'a' * 64}.test"))[0] is Failure.NAME

    def test_a_closed_port(self) -> None:
        failure, said = failure_of(ProbedEndpoint("http://127.0.0.1:9"))
        assert failure is Failure.REFUSED
        assert "127.0.0.1 port 9" in said

    def test_a_server_that_does_not_respond(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(network, "STEP_S_MAX", 0.2)
        with listener() as port:
            failure, said = failure_of(ProbedEndpoint(f"http://127.0.0.1:{port}"))
        assert failure is Failure.SILENT
        assert "127.0.0.1" in said
        assert "0.2 s" in said

    def test_a_response_that_is_not_http(self, server: S3Server, tmp_path: Path) -> None:
        """A server that wants TLS hangs up, or says so in TLS."""
        with tls_server(server.port, make_certificate(tmp_path)) as port:
            failure, said = failure_of(ProbedEndpoint(f"http://127.0.0.1:{port}"))
        assert failure is Failure.HTTP
        assert "127.0.0.1" in said


class TestTls:
    def head(
        self, folder: Path, server: S3Server, *, trusted: bool = True, **made: Any
    ) -> HeadResponse:
        certificate = make_certificate(folder, **made)
        with tls_server(server.port, certificate) as port:
            bundle = str(certificate.ca_file) if trusted else None
            return send_head(ProbedEndpoint(f"https://127.0.0.1:{port}", ca_bundle=bundle))

    def test_a_ca_of_ones_own(self, tmp_path: Path, server: S3Server) -> None:
        assert list(self.head(tmp_path, server).steps) == ["name", "tcp", "tls", "http"]

    @pytest.mark.parametrize(
        ("made", "failure"),
        [
            ({"trusted": False}, Failure.UNKNOWN_ISSUER),
            ({"trusted": False, "self_signed": True}, Failure.SELF_SIGNED),
            ({"host": "localhost"}, Failure.OTHER_NAME),
            ({"valid_until": timedelta(hours=-1)}, Failure.EXPIRED),
            ({"valid_from": timedelta(hours=1)}, Failure.EARLY),
        ],
    )
    def test_a_certificate_that_is_refused(
        self, tmp_path: Path, server: S3Server, made: dict[str, Any], failure: Failure
    ) -> None:
        with pytest.raises(NetworkError, match=r"certificate of 127\.0\.0\.1") as caught:
            self.head(tmp_path, server, **made)
        assert caught.value.failure is failure

    def test_a_server_without_tls(self, server: S3Server) -> None:
        failure, said = failure_of(ProbedEndpoint(f"https://127.0.0.1:{server.port}"))
        assert failure is Failure.TLS
        assert f"127.0.0.1 port {server.port}" in said
        assert "wrong version number" in said

    def test_a_server_that_does_not_begin_tls(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(network, "STEP_S_MAX", 0.2)
        with listener() as port:
            failure, said = failure_of(ProbedEndpoint(f"https://127.0.0.1:{port}"))
        assert failure is Failure.TLS
        assert f"127.0.0.1 port {port}" in said
        assert "0.2 s" in said

    @pytest.mark.parametrize("content", [None, b"no certificate"])
    def test_ca_certificates_that_cannot_be_read(
        self, tmp_path: Path, server: S3Server, content: bytes | None
    ) -> None:
        bundle = tmp_path / "bundle.pem"
        if content is not None:
            bundle.write_bytes(content)
        endpoint = ProbedEndpoint(f"https://127.0.0.1:{server.port}", ca_bundle=str(bundle))
        failure, said = failure_of(endpoint)
        assert failure is Failure.BUNDLE
        assert str(bundle) in said


class TestProxies:
    def test_https_goes_through_a_tunnel(self, tmp_path: Path, server: S3Server) -> None:
        certificate = make_certificate(tmp_path)
        with tls_server(server.port, certificate) as port, connect_proxy() as (hop, heads):
            proxy = Proxy("HTTPS_PROXY", f"http://us%40er:pass@127.0.0.1:{hop}")
            url = f"https://127.0.0.1:{port}"
            response = send_head(ProbedEndpoint(url, proxy, str(certificate.ca_file)))
        assert list(response.steps) == ["name", "tcp", "tunnel", "tls", "http"]
        assert heads[0].startswith(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n")
        assert "Proxy-Authorization: Basic dXNAZXI6cGFzcw==" in heads[0]

    def test_http_goes_to_the_proxy(self, wire: Wire) -> None:
        wire.plan = always(Respond(200))
        proxy = Proxy("HTTP_PROXY", f"http://user:pass@127.0.0.1:{wire.port}")
        send_head(ProbedEndpoint("http://store.test:81/path", proxy))
        (request,) = wire.requests
        assert request.target == "http://store.test:81/path"
        assert request.headers["host"] == "store.test:81"
        assert request.headers["proxy-authorization"] == "Basic dXNlcjpwYXNz"

    @pytest.mark.parametrize(
        ("status", "named"),
        [
            ("407 Authentication Required", "password"),
            ("403 Forbidden", "store.test:443: 403 Forbidden"),
            ("nonsense", "nonsense"),
        ],
    )
    def test_a_proxy_that_refuses(self, status: str, named: str) -> None:
        with connect_proxy(status) as (hop, _):
            proxy = Proxy("HTTPS_PROXY", f"http://user:secret@127.0.0.1:{hop}")
            failure, said = failure_of(ProbedEndpoint("https://store.test", proxy))
        assert failure is Failure.PROXY
        assert f"http://127.0.0.1:{hop} of HTTPS_PROXY " in said
        assert named in said

    def test_a_proxy_for_http_that_wants_a_password(self, wire: Wire) -> None:
        wire.plan = always(Respond(407))
        failure, said = failure_of(
            ProbedEndpoint("http://store.test", Proxy("HTTP_PROXY", wire.endpoint_url))
        )
        assert failure is Failure.PROXY
        assert "HTTP_PROXY" in said
        assert "password" in said

    def test_a_proxy_that_is_not_there(self) -> None:
        proxy = Proxy("HTTPS_PROXY", "http://127.0.0.1:9")
        failure, said = failure_of(ProbedEndpoint("https://store.test", proxy))
        assert failure is Failure.PROXY
        assert "http://127.0.0.1:9 of HTTPS_PROXY" in said
        assert "127.0.0.1 port 9" in said

    @pytest.mark.parametrize("url", ["socks5://host:1080", "http://", "http://host:port"])
    def test_a_proxy_of_another_kind(self, url: str) -> None:
        failure, said = failure_of(ProbedEndpoint("https://store.test", Proxy("HTTPS_PROXY", url)))
        assert failure is Failure.PROXY
        assert "http://host:port" in said
