"""What an event says: texts and links of the far end are passed on only as far as a console may show them."""

import pytest

from connector.model import Profile
from connector.observe.changes import control_info


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://security.example/x?tid=1", "https://security.example/x?tid=1"),
        ("HTTP://security.example/", "HTTP://security.example/"),
        ("", None),
        ("javascript:alert(1)", None),
        ("data:text/html,<script>", None),
        (" https://security.example", None),
        ("https://security.example/\x1b[31m", None),
        ("https://security.example/\u202efdp.exe", None),
        ("file:///etc/passwd", None),
    ],
)
def test_only_addresses_of_the_web_become_links(url: str, told: str | None) -> None:
    assert control_info("a", None, Profile("a", "A", action_url=url))["url"] == told
