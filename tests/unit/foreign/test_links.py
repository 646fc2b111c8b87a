"""An address that somebody may click leads to the web, or nowhere."""

import pytest

from connector.foreign.links import web_address


@pytest.mark.parametrize(
    "address",
    [
        "https://security.microsoft.com/securescore?viewid=actions",
        "HTTP://example.org",
        "https://example.org/a|b\\c=d#é",
        "https://[2001:db8::1]:8443/",
    ],
)
def test_an_address_of_the_web_stays_as_it_stands(address: str) -> None:
    assert web_address(address) == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "javascript:alert(1)",
        "JavaScript://example.org/%0aalert(1)",
        "java\u200bscript:alert(1)",
        " javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "file:///etc/passwd",
        "ms-msdt:/id",
        "//example.org/",
        "/relative",
        "https:",
        "https://",
        "https:///path",
        "https:\\\\example.org",
        "https://\\example.org",
        "https://example.org/a b",
        "https://example.org/\x1b[2J",
        "https://example.org/\nmore",
        "https://example.org/\u202egpj.exe",
    ],
)
def test_anything_else_is_none(address: str) -> None:
    assert web_address(address) == ""
