"""Which tenants a pattern selects: by name or by label, and never by a label that a tenant does not have."""

import pytest

from connector.config.values import selects


@pytest.mark.parametrize(
    ("patterns", "labels", "expected"),
    [
        ([], {}, True),
        (["contoso"], {}, True),
        (["cont*"], {}, True),
        (["fab*"], {}, False),
        (["customer=*"], {"customer": "x"}, True),
        (["customer=*"], {"customer": ""}, True),
        (["customer=*"], {}, False),
        (["customer=*"], {"region": "x"}, False),
        (["customer="], {}, False),
        (["customer="], {"customer": ""}, True),
        (["customer=?*"], {"customer": ""}, False),
        (["=*"], {"customer": "x"}, False),
        (["=x"], {}, False),
        (["customer=[!x]*"], {}, False),
        (["customer=*", "cont*"], {}, True),
        (["customer=a=b"], {"customer": "a=b"}, True),
    ],
)
def test_patterns(patterns: list[str], labels: dict[str, str], expected: bool) -> None:
    assert selects(patterns, "contoso", labels) is expected
