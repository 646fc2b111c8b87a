"""`--tenant` means the same in every command: names, globs, label=value, ids; one where one is needed."""

import argparse
from importlib import import_module

import pytest
from attrs import evolve

from connector.cli.login import choose
from connector.cli.main import COMMANDS, parser
from connector.cli.selection import ids, one, selected
from connector.config.values import AuthConfig, Config, TenantConfig
from connector.errors import ConfigError

GONE = "99999999-0000-0000-0000-00000000ABCD"
A, B, C = (f"{n}0000000-0000-0000-0000-000000000000" for n in (1, 2, 3))
CONFIG = Config(
    (
        TenantConfig("contoso", A, labels={"tier": "gold"}),
        TenantConfig("contoso-eu", B, labels={"tier": "gold"}),
        TenantConfig("fabrikam", C),
    ),
    (),
)


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        ([], ["contoso", "contoso-eu", "fabrikam"]),
        (["contoso"], ["contoso"]),
        (["Contoso"], ["contoso"]),
        (["contoso*"], ["contoso", "contoso-eu"]),
        (["tier=gold"], ["contoso", "contoso-eu"]),
        (["fabrikam", "contoso"], ["contoso", "fabrikam"]),
        ([C.upper()], ["fabrikam"]),
    ],
)
def test_what_selects_whom(patterns: list[str], names: list[str]) -> None:
    assert [tenant.name for tenant in selected(CONFIG, patterns)] == names


def test_what_selects_nobody_is_told_with_what_comes_near() -> None:
    with pytest.raises(ConfigError) as raised:
        selected(CONFIG, ["contso", "tier=iron"])
    assert len(raised.value.problems) == 2
    assert "did you mean contoso" in raised.value.hint


def test_one_is_one() -> None:
    assert one(CONFIG, ["fabrikam"]).name == "fabrikam"
    with pytest.raises(ConfigError, match="3 tenants are selected"):
        one(CONFIG, [])
    with pytest.raises(ConfigError, match="say which one"):
        one(CONFIG, ["tier=gold"])


def test_a_person_signs_in_for_what_is_selected_as_everywhere() -> None:
    auth = AuthConfig("device_code", {"client_id": C, "cache": "cache.json"})
    config = evolve(CONFIG, tenants=tuple(evolve(t, auth=auth if t.labels else None) for t in CONFIG.tenants))
    for patterns in ([], ["tier=gold"], ["CONTOSO"], ["cont*"], [A.upper()]):
        assert choose(config, patterns, write=False)[0].name == "contoso"
    for patterns, words in ((["fabrikam"], "tenant fabrikam does not sign in"), (["nobody"], "no tenant is selected")):
        with pytest.raises(ConfigError, match=words):
            choose(config, patterns, write=False)


def test_an_id_that_is_configured_no_more_still_finds_what_is_kept() -> None:
    assert ids(CONFIG, []) == ()
    assert ids(CONFIG, ["contoso", GONE]) == (A, GONE.lower())
    with pytest.raises(ConfigError):
        ids(CONFIG, ["nobody"])


def test_every_command_that_has_it_takes_it_in_the_same_way() -> None:
    seen = set()
    for name, (module, _) in COMMANDS.items():
        made = argparse.ArgumentParser()
        import_module(f"connector.cli.{module}").add_arguments(made)
        for action in made._actions:
            if "--tenant" in action.option_strings:
                seen.add(name)
                assert isinstance(action, argparse._AppendAction), name
    assert {"once", "status", "events", "explain", "replay", "controls", "report", "next", "fetch", "login"} <= seen
    assert parser(["once"]).parse_args(["once", "--tenant", "a", "--tenant", "b"]).tenant == ["a", "b"]
