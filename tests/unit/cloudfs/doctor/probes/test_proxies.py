"""The choice of a proxy by the variables of the environment."""

from __future__ import annotations

import pytest

from cloudfs.doctor.probes.proxies import Proxy, proxy_for

PROXY = "http://proxy:3128"


@pytest.mark.parametrize(
    ("url", "environ", "variable"),
    [
        ("https://host", {"HTTPS_PROXY": PROXY}, "HTTPS_PROXY"),
        ("https://host", {"HTTPS_PROXY": "http://other", "https_proxy": PROXY}, "https_proxy"),
        ("http://host", {"HTTP_PROXY": PROXY, "HTTPS_PROXY": "http://other"}, "HTTP_PROXY"),
        ("https://host", {"HTTPS_PROXY": PROXY, "NO_PROXY": "ost,host2"}, "HTTPS_PROXY"),
        ("https://host:444", {"HTTPS_PROXY": PROXY, "NO_PROXY": "host:443"}, "HTTPS_PROXY"),
        ("https://host", {"HTTPS_PROXY": PROXY, "NO_PROXY": " , "}, "HTTPS_PROXY"),
    ],
)
def test_the_proxy_of_the_scheme(url: str, environ: dict[str, str], variable: str) -> None:
    assert proxy_for(url, environ) == Proxy(variable, PROXY)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"HTTP_PROXY": PROXY},
        {"HTTPS_PROXY": ""},
        *(
            {"HTTPS_PROXY": PROXY, "NO_PROXY": exempt}
            for exempt in ("*", "bucket.host", "host", ".HOST", "other, host", "bucket.host:444")
        ),
        {"HTTPS_PROXY": PROXY, "no_proxy": "host", "NO_PROXY": "other"},
    ],
)
def test_no_proxy(environ: dict[str, str]) -> None:
    assert proxy_for("https://user@bucket.host:444/path", environ) is None


def test_an_address_without_a_scheme_is_http() -> None:
    assert proxy_for("https://host", {"HTTPS_PROXY": "proxy:3128"}) == Proxy("HTTPS_PROXY", PROXY)


def test_the_password_is_not_shown() -> None:
    assert Proxy("HTTPS_PROXY", "http://user:secret@proxy:3128/?a=b").shown == "http://proxy:3128/"
