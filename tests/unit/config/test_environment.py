"""App settings → the raw configuration: steps, lists, JSON, and every form that is refused."""

import pytest

from connector.config.environment import in_words, tree
from connector.config.parse import parse
from connector.registry import sink_options
from tests.config_example import TENANT_ID


def settings(**values: str) -> dict[str, str]:
    return {f"SECURESCORE__{name}": value for name, value in values.items()}


def test_steps_lists_and_plain_values() -> None:
    raw, problems = tree(
        {
            **settings(
                poll__interval="1h",
                poll__backfill=" 90 ",
                tenants__0__name="contoso",
                tenants__0__auth__kind="managed_identity",
                tenants__1__name="fabrikam",
                changes__evidence="true",
                state__blob__container="state",
            ),
            "SECURESCORE_QUEUE": "is none of ours",
            "PATH": "/usr/bin",
        }
    )
    assert problems == []
    assert raw == {
        "poll": {"interval": "1h", "backfill": 90},
        "tenants": [{"name": "contoso", "auth": {"kind": "managed_identity"}}, {"name": "fabrikam"}],
        "changes": {"evidence": True},
        "state": {"blob": {"container": "state"}},
    }


def test_eleven_items_stay_in_order() -> None:
    raw, _ = tree(settings(**{f"targets__controls__{n}": f"c{n}" for n in range(11)}))
    assert raw == {"targets": {"controls": [f"c{n}" for n in range(11)]}}


def test_an_entry_of_several_units_may_stand_in_app_settings() -> None:
    raw, problems = tree(
        settings(
            tenants__0__name="contoso-azure",
            tenants__0__tenant_id=TENANT_ID,
            tenants__0__source="defender_cloud",
            tenants__0__auth__kind="managed_identity",
            tenants__0__scope__subscriptions=f'["{TENANT_ID}"]',
            tenants__0__compliance="on",
            arm__cloud="usgov",
            sinks__0__name="a",
            sinks__0__kind="file",
            sinks__0__path="e.jsonl",
        )
    )
    assert problems == []
    (tenant,) = parse(raw, sink_options=sink_options).tenants
    assert (tenant.scope.subscriptions, tenant.compliance, tenant.arm.cloud) == ((TENANT_ID,), True, "usgov")


def test_json_gives_a_whole_branch() -> None:
    raw, problems = tree(settings(sinks='[{"name": "soc", "kind": "webhook"}]', defaults='{"labels": {"0": "x"}}'))
    assert problems == []
    assert raw == {"sinks": [{"name": "soc", "kind": "webhook"}], "defaults": {"labels": ["x"]}}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (settings(poll="[1, 2"), "app setting SECURESCORE__poll: begins like JSON but is none"),
        (settings(poll__="1"), "app setting SECURESCORE__poll__: has an empty step"),
        (settings(poll="1h", poll__interval="1h"), "poll has a value of its own"),
        (settings(poll='{"interval": "1h"}', poll__interval="2h"), "both whole and in parts"),
        (settings(poll='{"interval": "1h", "interval": "2h"}'), "the key 'interval' is written twice"),
        (settings(sinks='[{"tls": {"a": 1, "a": 1}}]'), "the key 'a' is written twice"),
        (settings(targets='{"percent_min": NaN}'), "NaN is no number"),
        (settings(targets='{"percent_min": -Infinity}'), "-Infinity is no number"),
        (settings(labels='"a" and "b"'), "begins like JSON but is none"),
    ],
)
def test_what_is_refused_names_the_setting(given: dict[str, str], words: str) -> None:
    _, problems = tree(given)
    assert [words in problem.text for problem in problems] == [True], problems


def test_problems_of_the_parser_name_the_setting() -> None:
    assert in_words("sinks[0].stream_targets.score: is missing") == (
        "app setting SECURESCORE__sinks__0__stream_targets__score: is missing"
    )
    assert in_words("tenants.csv line 3: auth: is missing") == "tenants.csv line 3: auth: is missing"


def test_text_in_quotes_is_text_whatever_it_looks_like() -> None:
    raw, problems = tree(settings(a='"1.10"', b='"true"', c='"[1]"', d='say "hi"', e='"'))
    assert problems == []
    assert raw == {"a": "1.10", "b": "true", "c": "[1]", "d": 'say "hi"', "e": '"'}


def test_no_setting_is_an_empty_configuration() -> None:
    assert tree({"HOME": "/"}) == ({}, [])
