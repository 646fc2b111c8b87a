"""A baseline file: what it asks of which tenant, and everything that is wrong with it, by its lines."""

from pathlib import Path

import pytest
from attrs import evolve

from connector.config.baseline import asked_of
from connector.config.values import Config, Declared, Excuse, Floor, Forbidden
from connector.config.yaml_file import load, load_baseline
from connector.errors import ConfigError
from connector.registry import sink_options

STANDARDS = """\
standards:
  - name: all
    full: [AdminMFAV2]
    percent_min: 40
    not_declared: [{states: [ignored]}]
  - name: gold
    tenants: [tier=gold]
    full: [adminmfav2, OneAdmin]
    percent_min: 60%
    declared: [{control: Gateway, state: third-party, comment: covered by gateway X}]
exceptions:
  - {tenants: [contoso], controls: [One*], until: 2027-03-31, reason: ticket 4711}
"""


def configured(folder: Path, standards: str, *, source: str = "files", named: str = "baseline.yaml") -> Config:
    (folder / "baseline.yaml").write_text(standards)
    more = "source: files, path: in" if source == "files" else "source: defender_cloud, auth: {kind: managed_identity}"
    file = folder / "securescore.yaml"
    file.write_text(
        f"""
baseline: {named}
tenants:
  - {{name: contoso, tenant_id: 11111111-1111-1111-1111-111111111111, labels: {{tier: gold}}, {more}}}
  - {{name: fabrikam, tenant_id: 22222222-2222-2222-2222-222222222222, source: files, path: in}}
sinks: [{{name: out, kind: file, path: out.jsonl}}]
"""
    )
    return load(str(file), sink_options=sink_options, environ={})


def test_each_tenant_is_asked_what_the_standards_meant_for_it_ask_together(tmp_path: Path) -> None:
    config = configured(tmp_path, STANDARDS)
    contoso, fabrikam = (tenant.targets.baseline for tenant in config.tenants)
    assert config.baseline == str(tmp_path / "baseline.yaml")
    assert contoso is not None
    assert fabrikam is not None
    assert dict(contoso.full) == {"adminmfav2": "gold", "OneAdmin": "gold", "AdminMFAV2": "all"}
    assert contoso.declared == (Declared("Gateway", "ThirdParty", "covered by gateway X", "gold"),)
    assert contoso.forbidden == (Forbidden(("*",), ("Ignored",), "not allowed by the standard all", "all"),)
    assert dict(contoso.floors) == {"percent_min": Floor(60.0, "gold")}, "the highest counts"
    assert contoso.excuses == (Excuse(("one*",), "2027-03-31", "ticket 4711"),)
    assert (dict(fabrikam.full), dict(fabrikam.floors)) == ({"AdminMFAV2": "all"}, {"percent_min": Floor(40.0, "all")})
    assert (fabrikam.declared, fabrikam.excuses) == ((), ())


def test_nothing_is_asked_of_a_tenant_without_a_standard_or_with_several_units(tmp_path: Path) -> None:
    config = configured(tmp_path, "standards: [{name: gold, tenants: [tier=gold], full: [A]}]")
    gold = load_baseline(str(tmp_path / "baseline.yaml"))
    assert [tenant.targets.baseline is None for tenant in config.tenants] == [False, True]
    assert asked_of(gold, evolve(config.tenants[0], source="defender_cloud")) is None


def test_tenants_of_whom_the_same_is_asked_share_one_object(tmp_path: Path) -> None:
    contoso, fabrikam = configured(tmp_path, "standards: [{name: all, full: [A]}]").tenants
    assert contoso.targets is fabrikam.targets


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a mapping"),
        ("standards: []", "names no standard"),
        ("standard: []", "unknown key; known: standards, exceptions"),
        ("standards: [{name: a}]", "asks for nothing"),
        ("standards:\n  - name: a\n    ful: [X]", "line 3: standards[0].ful: unknown key; did you mean full?"),
        (
            "standards:\n  - {name: a, full: [X]}\n  - {name: a, full: [Y]}",
            "line 3: standards[1].name: a is taken by standards[0] (line 2)",
        ),
        ("standards: [{full: [X]}]", "standards[0].name: is missing"),
        ("standards: [{name: a, percent_min: 120}]", "expected a percentage from 0 to 100"),
        ("standards: [{name: a, declared: [{control: X, state: default, comment: c}]}]", "'default' is not one of"),
        ("standards: [{name: a, declared: [{control: X, state: ignored}]}]", "comment: is missing"),
        ("standards: [{name: a, not_declared: [{states: [planned]}]}]", "'planned' is not one of"),
        (
            """\
standards:
  - name: a
    declared: [{control: X, state: ignored, comment: c}]
    not_declared: [{controls: [x], states: [ignored]}]
""",
            "X must have a state here that not_declared forbids it",
        ),
        (
            "standards: [{name: a, full: [X]}]\nexceptions: [{tenants: [a], reason: r}]",
            "exceptions[0].until: is missing",
        ),
        (
            "standards: [{name: a, full: [X]}]\nexceptions: [{tenants: [], until: 2027-01-01, reason: r}]",
            'names nobody: write ["*"] for all',
        ),
        ("standards: [{name: a, full: X}]", "expected a list"),
        ("standards: [a]", "expected a mapping"),
    ],
)
def test_a_mistake_is_told_with_the_file_and_its_line(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        configured(tmp_path, text)
    assert any(problem.startswith("baseline.yaml") and said in problem for problem in raised.value.problems), (
        raised.value.problems
    )
    with pytest.raises(ConfigError):
        load_baseline(str(tmp_path / "baseline.yaml"))


def test_a_file_that_is_not_there_is_told_at_the_key_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"baseline \(line 2\): .*other\.yaml: there is no such file"):
        configured(tmp_path, STANDARDS, named="other.yaml")
