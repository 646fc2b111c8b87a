"""`tenants add`: nothing is written that is not valid, and what is written is read, checked and polled at once."""

import fcntl
import json
from pathlib import Path

import pytest

from connector.cli.main import main
from connector.cli.tenants_add import consent, flow
from connector.config.parse import TenantRow
from connector.config.tenants_csv import line_for, tenants_of_csv
from connector.config.yaml_file import load
from connector.errors import ConfigError
from connector.registry import sink_options
from tests.fake_graph import TENANT, day_document, profile_document

OTHER = "22222222-2222-2222-2222-222222222222"
ADD = ("tenants", "add", "two", "--tenant-id", OTHER, "--set", "source=files", "--set", "path=in2")
HEAD = "Name;tenant_id;source;path;label.customer\r\n"
ROW = f"lab;{TENANT};files;in1;contoso"


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A list of one tenant, last line without an end, and saved responses of that tenant and of another."""
    for folder, tenant in (("in1", TENANT), ("in2", OTHER)):
        (tmp_path / folder).mkdir()
        saved = {
            "secureScores.json": day_document("2026-11-20", {"A": 5}),
            "secureScoreControlProfiles.json": profile_document("A"),
        }
        for name, document in saved.items():
            (tmp_path / folder / name).write_text(json.dumps({"value": [document]}).replace(TENANT, tenant))
    (tmp_path / "tenants.csv").write_bytes((HEAD + ROW).encode())
    (tmp_path / "tenants.csv").chmod(0o640)
    sink = "{name: out, kind: file, path: out.jsonl, start: all}"
    (tmp_path / "c.yaml").write_text(f"state: {{path: s.db}}\ntenants_file: tenants.csv\nsinks: [{sink}]\n")
    return tmp_path


def run(lab: Path, *words: str) -> int:
    return main([*words, "-c", str(lab / "c.yaml")])


def test_the_row_is_written_and_the_tenant_checked_and_polled(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lab, *ADD, "--label", "customer=fabrikam") == 0
    said = capsys.readouterr().out
    assert "All good." in said
    assert "1 tenant: 1 ok" in said
    listed = lab / "tenants.csv"
    assert listed.read_bytes().decode() == f"{HEAD}{ROW}\r\ntwo;{OTHER};files;in2;fabrikam\r\n"
    assert listed.stat().st_mode & 0o777 == 0o640, "who could read the list still can"
    assert run(lab, "tenants", "list", "--json") == 0
    two = json.loads(capsys.readouterr().out)[1]
    assert (two["name"], two["labels"], two["newest_day"]) == ("two", {"customer": "fabrikam"}, "2026-11-20")
    assert "fabrikam" in (lab / "out.jsonl").read_text()


def test_a_trial_writes_and_polls_nothing(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in lab.rglob("*") if path.is_file()}
    assert run(lab, *ADD, "--dry-run") == 0
    assert "newest day 2026-11-20" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in lab.rglob("*") if path.is_file()} == before


def test_a_configuration_of_its_own_hand_gets_the_words_to_put_in(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = lab / "c.yaml"
    config.write_text(config.read_text().replace("tenants_file: tenants.csv", "tenants: []"))
    before = config.read_bytes()
    assert run(lab, *ADD, "--label", "customer=a b") == 0
    said = capsys.readouterr().out
    assert "All good." in said
    assert "put it into the configuration" in said
    assert config.read_bytes() == before
    line = next(line for line in said.splitlines() if line.startswith("  - {"))
    config.write_text(config.read_text().replace("tenants: []", f"tenants:\n{line}"))
    (two,) = load(str(config), sink_options=sink_options).tenants
    assert (two.name, two.tenant_id, dict(two.labels)) == ("two", OTHER, {"customer": "a b"})


def test_a_tenant_that_cannot_be_read_is_listed_and_not_polled(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "in2" / "secureScores.json").unlink()
    assert run(lab, *ADD) == 3
    said = capsys.readouterr().out
    assert "It was not polled." in said
    assert "two;" in (lab / "tenants.csv").read_text(), "consent may come later, from somebody else"
    assert not (lab / "s.db").exists()


def test_beside_a_service_the_first_poll_is_the_services(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lab, "once") == 0
    lock = lab / "s.db.lock"
    with lock.open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        capsys.readouterr()
        assert run(lab, *ADD) == 0
        assert "systemctl reload securescore" in capsys.readouterr().out
    assert run(lab, "tenants", "list", "--json") == 0
    assert json.loads(capsys.readouterr().out)[1]["newest_day"] is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tenants", "add"], ["NAME", "--tenant-id is missing"]),
        (["tenants", "add", "lab", "--tenant-id", OTHER, *ADD[5:]], ["lab is taken"]),
        (["tenants", "add", "two", "--tenant-id", TENANT, *ADD[5:]], ["is listed before"]),
        ([*ADD[:5], "--set", "sorce=files"], ["did you mean source?"]),
        ([*ADD, "--set", "path"], ["COLUMN=VALUE"]),
        ([*ADD, "--set", "path=in3"], ["said twice"]),
        ([*ADD, "--label", "=x"], ["KEY=VALUE"]),
        ([*ADD, "--set", "language=de-DE"], ["no column language", "first line"]),
        ([*ADD, "--set", "language=de-DE", "--dry-run"], ["no column language"]),
        ([*ADD[:4], "contoso.example", *ADD[5:]], ["tenant_id"]),
        ([*ADD, "--export", "x"], ["--export does not belong to `tenants add`"]),
        (["tenants", "forget", "lab", "--dry-run"], ["--dry-run does not belong to `tenants forget`"]),
        (["tenants", "list", "lab"], ["no NAME"]),
    ],
)
def test_nothing_is_written_that_is_wrong(
    lab: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: list[str]
) -> None:
    assert run(lab, *words) == 2
    said = capsys.readouterr().err
    for word in expected:
        assert word in said
    assert (lab / "tenants.csv").read_bytes().decode() == HEAD + ROW
    assert not (lab / "s.db").exists()


def test_the_address_of_consent_is_that_of_the_tenant_and_its_cloud(lab: Path) -> None:
    auth = {"kind": "federated", "client_id": TENANT, "token_file": "/run/token"}
    row = TenantRow("list", 1, {"name": "two", "tenant_id": OTHER, "cloud": "usgov", "auth": auth})
    *_, two = load(str(lab / "c.yaml"), sink_options=sink_options, more=[row]).tenants
    assert f"https://login.microsoftonline.us/{OTHER}/adminconsent?client_id={TENANT}" in consent(two)[-1]
    one, *_ = load(str(lab / "c.yaml"), sink_options=sink_options).tenants
    assert consent(one) == []


def test_of_azure_the_consent_is_where_the_application_signs_in_and_a_role_comes_beside_it(lab: Path) -> None:
    """A service provider's own directory, and the cloud of Azure: that of Graph may be another."""
    auth = {"kind": "federated", "client_id": TENANT, "token_file": "/run/token", "tenant_id": TENANT}
    cells = {"name": "two", "tenant_id": OTHER, "source": "defender_cloud", "arm": {"cloud": "usgov"}, "auth": auth}
    *_, two = load(str(lab / "c.yaml"), sink_options=sink_options, more=[TenantRow("list", 1, cells)]).tenants
    whose, address, role = consent(two)
    assert whose == f"An administrator of the directory {TENANT} consents at"
    assert address.strip() == f"https://login.microsoftonline.us/{TENANT}/adminconsent?client_id={TENANT}"
    assert "Security Reader" in role


@pytest.mark.parametrize(
    ("head", "line"),
    [
        ("name,tenant_id,Label.Customer,label.tier\n", 'two,x,"a,b;c",gold\n'),
        ("labels;tenant_id;name\r\n", '"Customer=a,b;c;tier=gold";x;two\r\n'),
        ('"sep=;"\nname;label.tier;label.Customer;tenant_id\n', 'two;gold;"a,b;c";x\n'),
        ("tenant_id,name,labels,label.tier", '\nx,two,"Customer=a,b;c",gold\n'),
    ],
)
def test_a_line_fits_the_list_however_it_is_laid_out(head: str, line: str) -> None:
    cells = {"name": "two", "tenant_id": "x", "labels.Customer": "a,b;c", "labels.tier": "gold"}
    if "Label.Customer" in head:
        cells = {"name": "two", "tenant_id": "x", "label.Customer": "a,b;c", "labels.tier": "gold"}
    assert line_for(head, cells) == line
    (row,), problems = tenants_of_csv(head + line, "list")
    assert (row.values["name"], row.values["labels"]["tier"], problems[1:]) == ("two", "gold", [])


def test_an_empty_list_has_no_columns() -> None:
    with pytest.raises(ConfigError, match="no column name"):
        line_for("", {"name": "two"})


def test_words_for_yaml_are_on_one_line() -> None:
    assert flow({"a": ["x", "y"], "two words": {"b": 'q"'}}) == '{a: ["x", "y"], "two words": {b: "q\\""}}'
