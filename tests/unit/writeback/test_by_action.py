"""What an alert action may ask for: a person's word, complete, or nothing."""

from typing import Any

import pytest

from connector.writeback.by_action import asked
from connector.writeback.plan import Wanted


def payload(**more: Any) -> dict[str, Any]:
    given = {
        "account": "contoso",
        "index": "security",
        "control": "AdminMFAV2",
        "state": "ignored",
        "comment": "accepted until May",
        "assigned_to": "",
        "mode": "send",
        **more.pop("configuration", {}),
    }
    return {"owner": "ada", "sid": "1764000000.12", "server_host": "sh1", "configuration": given, **more}


def test_a_person_s_word_is_one_wish() -> None:
    found, problems = asked(payload())
    assert problems == []
    assert found is not None
    assert found.wish == Wanted("AdminMFAV2", "Ignored", "accepted until May")
    assert (found.account, found.index, found.send) == ("contoso", "security", True)
    assert str(found.operator) == "Splunk (ada@sh1)"


def test_it_looks_until_it_is_told_to_send() -> None:
    for mode in ("", "look"):
        found, _ = asked(payload(configuration={"mode": mode}))
        assert found is not None
        assert not found.send
    assert asked(payload(configuration={"mode": "SEND"}))[0] is None


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"sid": "scheduler__ada__search__RMD5_at_1764000000_7"}, "a schedule asks"),
        ({"sid": "rt_scheduler__ada__search__RMD5_at_1764000000_7"}, "a schedule asks"),
        ({"owner": "nobody"}, "no named user"),
        ({"owner": None}, "no named user"),
        ({"configuration": {"account": ""}}, "account:"),
        ({"configuration": {"index": " "}}, "index:"),
        ({"configuration": {"comment": ""}}, "a comment is mandatory"),
        ({"configuration": {"state": "done"}}, "is no state"),
        ({"configuration": {"control": ""}}, "names no control"),
    ],
)
def test_what_no_person_asks_for_or_not_completely_is_refused(more: dict[str, Any], words: str) -> None:
    found, problems = asked(payload(**more))
    assert found is None
    assert any(words in problem for problem in problems)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    found, problems = asked({})
    assert found is None
    assert len(problems) == 6
