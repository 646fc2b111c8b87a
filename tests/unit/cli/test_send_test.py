"""Where `check --send-test` says that its events went: in words that hold no key."""

from typing import Any

import pytest

from connector.cli.send_test import address_of
from connector.config.values import SinkConfig


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("webhook", {"url": "https://hooks.example:8443/services/T0/B0/key?a=b"}, "webhook https://hooks.example:8443"),
        ("webhook", {"url": "${env:HOOK}"}, "webhook ${env:HOOK}"),
        ("splunk_hec", {"url": "https://hec.example:8088/services/collector"}, None),
        ("syslog", {"host": "siem.example"}, "syslog siem.example"),
        ("file", {"path": "/var/log/events.jsonl"}, "file /var/log/events.jsonl"),
        ("file", {"path": None}, "file"),
    ],
)
def test_of_an_address_that_may_be_a_key_the_host_alone_is_said(
    kind: str, options: dict[str, Any], said: str | None
) -> None:
    assert address_of(SinkConfig("s", kind, options=options)) == (said or f"{kind} {options['url']}")
