"""The YAML front end: files, lines, and every way in which a file can be unreadable."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.config import tenants_csv, yaml_file
from connector.config.secrets import REMEDY
from connector.config.values import Config
from connector.errors import ConfigError
from tests.config_example import EXAMPLE, KINDS, NO_TENANT_ID, TENANT_ID

SINK = "sinks: [{name: archive, kind: file, path: events.jsonl}]\n"
TENANT = f"tenants: [{{name: contoso, tenant_id: {TENANT_ID}, auth: {{kind: managed_identity}}}}]\n"
MINIMAL = TENANT + SINK
AUTH = "defaults: {auth: {kind: managed_identity}}\n"


def load(folder: Path, text: str | bytes, **files: str) -> Config:
    file = folder / "config.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)
    return yaml_file.load(str(file), sink_options=KINDS.get, environ={})


def fault(folder: Path, text: str | bytes, **files: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(folder, text, **files)
    return caught.value


def test_the_whole_contract(tmp_path: Path) -> None:
    config = load(tmp_path, EXAMPLE)
    assert [tenant.name for tenant in config.tenants] == ["contoso", "lab"]
    assert [sink.name for sink in config.sinks] == ["soc", "splunk", "sentinel", "casb", "archive"]
    assert config.state.path == str(tmp_path / "state.db")
    assert config.sinks[0].options["tls.key_file"] == str(tmp_path / "client.key")
    assert config.tenants[0].language == "de-DE"
    assert config.base_dir == str(tmp_path)


def test_five_mistakes_with_their_lines(tmp_path: Path) -> None:
    text = f"""\
poll:
  intervall: 1h
changes:
  min_share: lots
tenants:
  - name: contoso
    tenant_id: {TENANT_ID}
    auth:
      kind: client_secret
      client_id: 22222222-2222-2222-2222-222222222222
      client_secret: hunter2
sinks:
  - name: soc
    kind: syslog
    host: siem
    transport: tsl
  - {{name: soc, kind: file,
     path: events.jsonl}}
"""
    error = fault(tmp_path, text)
    assert error.problems == [
        "poll.intervall (line 2): unknown key; did you mean interval?",
        "changes.min_share (line 4): expected 10% or 0.1, found 'lots'",
        f"tenants[0].auth.client_secret (line 11): a literal secret is refused: {REMEDY}",
        "sinks[0].transport (line 16): 'tsl' is not one of tls, tcp, udp; did you mean tls?",
        "sinks[1].name (line 17): soc is taken by sinks[0] (line 13); case does not count",
    ]
    assert f"correct {tmp_path / 'config.yaml'}" in error.hint


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: {b: [1, x], c: null}", {"a": {"b": [1, "x"], "c": None}}),
        ("a: off\nb: NO\nc: true\nd: False\ne: 'true'", {"a": "off", "b": "NO", "c": True, "d": False, "e": "true"}),
        (
            "a: 0600\nb: 1:30\nc: 2027-05-01\nd: 1_000\ne: 0x10",
            dict(zip("abcde", ("0600", "1:30", "2027-05-01", "1_000", "0x10"), strict=True)),
        ),
        ("a: -5\nb: 0.50\nc: 1e3\nd: .5\ne: ~\nf:", {"a": -5, "b": 0.5, "c": "1e3", "d": ".5", "e": None, "f": None}),
        ("a: |\n  x\n  y\nb: >-\n  x\n  y", {"a": "x\ny\n", "b": "x y"}),
        ("a: &x {k: v}\nb: *x\nc: &y 5\nd: [*y, *x]", {"a": {"k": "v"}, "b": {"k": "v"}, "c": 5, "d": [5, {"k": "v"}]}),
        ("a: !!str 5", {"a": "5"}),
        ("1: x\non: y\nnull: z", {"1": "x", "on": "y", "null": "z"}),
        ("\ufeffa: 1", {"a": 1}),
        ("", None),
        ("# nothing", None),
    ],
)
def test_what_yaml_means(text: str, value: object) -> None:
    assert yaml_file.read_yaml(text.removeprefix("\ufeff"), "x.yaml").value == value


def test_lines_of_keys_items_and_aliases() -> None:
    document = yaml_file.read_yaml("a: &x\n  b:\n    - 1\n    - {c: 2,\n       d: 3}\ne: *x\n", "x")
    assert document.lines == {
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "b", 0): 3,
        ("a", "b", 1): 4,
        ("a", "b", 1, "c"): 4,
        ("a", "b", 1, "d"): 5,
        ("e",): 6,
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("poll:\n\tinterval: 1h\n", "(line 2): a tab cannot indent YAML: use spaces"),
        ("poll: {interval: 1h\nlog: {}", "(line 2): is not valid YAML: "),
        (
            "a: b: c",
            '(line 1): is not valid YAML: mapping values are not allowed in this context (a text that holds ": "',
        ),
        ("a: [1, 2", "is not valid YAML"),
        ("a: 'x", "is not valid YAML"),
        ("a: \x07", "is not valid YAML"),
        ("a: 1\n---\nb: 2", "(line 2): a second document begins here"),
        ("a: !!python/object/apply:os.system [x]", "(line 1): tags (!…) are not supported"),
        ("a: !include x", "tags (!…) are not supported"),
        ("a: !set {b: 1}", "tags (!…) are not supported"),
        ("a: &x {b: 1}\nc: {<<: *x}", "(line 2): merge keys (<<) are not supported"),
        ("a: *x", "(line 1): the alias *x stands for nothing yet"),
        ("a: &x [*x]", "the alias *x stands for nothing yet"),
        ("? [a]\n: b", "a key must be text"),
        ("a: " + "[" * 33 + "]" * 33, "is nested deeper than 32 levels"),
        ("a: " + "[" * 200_000, "is nested deeper than 32 levels"),
        ("- a\n- b\n", "is not a mapping (key: value)"),
        ("hello", "is not a mapping (key: value)"),
        ("", "is empty"),
        (b"a: \xff", "(line 1): is not UTF-8 text"),
        (b"# x\n\xc3", "(line 2): is not UTF-8 text"),
        (b"#" * (16 * 1024 * 1024 + 1), "is larger than 16 MiB"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, text: str | bytes, words: str) -> None:
    error = fault(tmp_path, text)
    (found,) = error.problems
    assert found.startswith(str(tmp_path / "config.yaml"))
    assert words in found
    assert error.hint


@pytest.mark.parametrize("width", [2, 10])
def test_a_bomb_of_aliases_is_refused_where_it_grows_too_large(tmp_path: Path, width: int) -> None:
    """Each level doubles what it refers to, or makes ten of it: whoever walks through the values would never end."""
    stars = ", ".join(["*a{0}"] * width)
    levels = "".join(f"k{n}: &a{n} [{stars.format(n - 1)}]\n" for n in range(1, 31))
    (found,) = fault(tmp_path, f"k0: &a0 [x, x]\n{levels}state: {{path: *a30}}\n").problems
    assert "stands for more than 2000000 values: look at its aliases" in found
    assert "(line " in found


def test_what_many_tenants_share_by_alias_is_no_bomb() -> None:
    rows = "".join(f"- {{name: t{n}, auth: *a}}\n" for n in range(20_000))
    read = yaml_file.read_yaml(f"a: &a {{kind: token, file: x}}\ntenants:\n{rows}", "x").value
    assert len(read["tenants"]) == 20_000
    assert read["tenants"][-1]["auth"] is read["a"], "shared, not copied"


@given(st.text(alphabet=st.sampled_from("ab: \n-[]{},&*!|>'\"#\t?~<%@1"), max_size=60))
def test_whatever_a_file_says_it_is_read_or_refused_with_words(text: str) -> None:
    said = "x.yaml"
    try:
        yaml_file.read_yaml(text, "x.yaml")
    except ConfigError as error:
        said = error.problems[0]
    assert said.startswith("x.yaml")


@given(st.text(alphabet=st.sampled_from("a=;,.\n\"' \x00\r"), max_size=60))
def test_whatever_a_csv_says_it_is_rows_or_problems(text: str) -> None:
    rows, problems = tenants_csv.tenants_of_csv(text, "t.csv")
    assert rows is not None
    assert all(problem.text.startswith("t.csv line ") for problem in problems)


def test_a_key_written_twice_names_both_lines(tmp_path: Path) -> None:
    found = fault(tmp_path, f"{MINIMAL}log:\n  level: info\n  format: json\n  level: debug\nlog: {{}}\n").problems
    assert found == [
        "log.level (line 6): is written twice, first on line 4",
        "log (line 7): is written twice, first on line 3",
    ]


def test_a_missing_file_leads_to_init(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        yaml_file.load(str(tmp_path / "none.yaml"), sink_options=KINDS.get)
    assert "there is no such file" in caught.value.problems[0]
    assert "securescore init" in caught.value.hint


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        yaml_file.load(str(tmp_path), sink_options=KINDS.get)


def test_the_environment_of_the_process_is_used_unless_another_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERE", "events.jsonl")
    file = tmp_path / "c.yaml"
    file.write_text(TENANT + 'sinks: [{name: archive, kind: file, path: "${env:WHERE}"}]\n')
    config = yaml_file.load(str(file), sink_options=KINDS.get)
    assert config.sinks[0].options["path"] == str(tmp_path / "events.jsonl")
    with pytest.raises(ConfigError, match="WHERE is not set"):
        yaml_file.load(str(file), sink_options=KINDS.get, environ={})


def test_where_the_configuration_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"SECURESCORE_CONFIG": "/env.yaml"}
    assert yaml_file.find("/explicit.yaml", environ) == "/explicit.yaml"
    assert yaml_file.find(None, environ) == "/env.yaml"
    (tmp_path / "securescore.yaml").touch(0o600)
    installed = tmp_path / "installed.yaml"
    assert yaml_file.find(None, {}, str(installed)) == "securescore.yaml"
    installed.touch()
    assert yaml_file.find(None, {}, str(installed)) == str(installed), "the installed one comes first"


@pytest.mark.parametrize("fault", ["the file", "the folder", "the mode", "the folder's mode", "a link"])
def test_a_configuration_that_somebody_else_could_write_is_not_taken_from_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Whoever may write it decides which secrets go where."""
    folder = tmp_path / "shared"
    folder.mkdir(0o700)
    file = folder / "securescore.yaml"
    file.touch(0o600)
    if fault == "the mode":
        file.chmod(0o602)
    elif fault == "the folder's mode":
        folder.chmod(0o777)
    elif os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    elif fault == "a link":
        (tmp_path / "theirs.yaml").touch()
        os.chown(tmp_path / "theirs.yaml", 65534, 65534)
        file.unlink()
        file.symlink_to(tmp_path / "theirs.yaml")
    else:
        os.chown(file if fault == "the file" else folder, 65534, 65534)
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigError, match="is not taken") as caught:
        yaml_file.find(None, {}, str(tmp_path / "none"))
    assert "-c securescore.yaml" in caught.value.hint
    assert yaml_file.find("securescore.yaml", {}) == "securescore.yaml", "who names it trusts it"


def test_no_configuration_at_all_leads_to_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="no configuration") as caught:
        yaml_file.find(None, {}, str(tmp_path / "none"))
    assert "securescore init" in caught.value.hint


def test_yaml_is_imported_only_when_it_is_read() -> None:
    """The Splunk add-on has no YAML and must still be able to import the package."""
    code = "import sys, connector.config.parse, connector.config.yaml_file; sys.exit('yaml' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=False)
    assert done.returncode == 0


# --------------------------------------------------------------------------------------------------------- tenants file


def test_a_csv_of_tenants(tmp_path: Path) -> None:
    rows = (
        ("\ufeffName", "contoso", "fabrikam"),
        (" Tenant ID ", TENANT_ID, "22222222-2222-2222-2222-222222222222"),
        ("cloud", "usgov", ""),
        ("label.Customer", "Contoso", ""),
        ("labels", "tier=gold; region = eu", ""),
        ("language", "ja", " "),
        ("index", "security", ""),
        ("auth.kind", "client_secret", ""),
        ("auth.client_id", TENANT_ID, ""),
        ("auth.client_secret", "${env:C}", ""),
        ("targets.controls", "A;B", ""),
    )
    table = "\n\n".join(",".join(cells) for cells in zip(*rows, strict=True))
    config = load(tmp_path, AUTH + SINK + "tenants_file: t.csv\n", t_csv=table)
    first, second = config.tenants
    assert (first.name, first.tenant_id, first.graph.cloud, first.language) == ("contoso", TENANT_ID, "usgov", "ja")
    assert first.labels == {"Customer": "Contoso", "tier": "gold", "region": "eu"}
    assert first.overrides == {"index": "security"}
    assert first.targets.controls == ("A", "B")
    assert first.auth is not None
    assert first.auth.options["client_secret"] == "${env:C}"
    assert (second.name, second.labels, second.overrides) == ("fabrikam", {}, {})
    assert second.auth is not None
    assert second.auth.kind == "managed_identity"


def test_a_csv_with_semicolons(tmp_path: Path) -> None:
    """What spreadsheets write in half of Europe."""
    table = f'name;tenant_id;labels\r\ncontoso;{TENANT_ID};"a=b;c=d"\r\n'
    config = load(tmp_path, AUTH + SINK + "tenants_file: t.csv\n", t_csv=table)
    assert config.tenants[0].labels == {"a": "b", "c": "d"}


def test_tenants_of_both_places(tmp_path: Path) -> None:
    table = "- name: lab\n  tenant_id: 22222222-2222-2222-2222-222222222222\n"
    config = load(tmp_path, MINIMAL + AUTH + 'tenants_file: "t.yaml"\n', t_yaml=table)
    assert [tenant.name for tenant in config.tenants] == ["contoso", "lab"]
    config = load(tmp_path, SINK + AUTH + "tenants_file: t.yml\n", t_yml="tenants:\n" + table)
    assert [tenant.name for tenant in config.tenants] == ["lab"]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("name,tenant_id,colour\n", ["t.csv line 1: unknown column 'colour'; did you mean cloud?"]),
        ("name,tenant_id,zzz\n", ["t.csv line 1: unknown column 'zzz'; known: arm.base_url, arm.cloud, auth, cloud, "]),
        ("tenant_id\n", ["t.csv line 1: the column name is missing"]),
        (
            "",
            ["t.csv line 1: the column name is missing", "t.csv line 1: the column tenant_id is missing"],
        ),
        (f"name,tenant_id,name\na,{TENANT_ID},b\n", ["t.csv line 1: the column name is there 2 times"]),
        (f"name,tenant_id\na,{TENANT_ID},c\n", ["t.csv line 2: has 3 cells, the first line has 2"]),
        (
            f"name,tenant_id,labels\na,{TENANT_ID},gold\n",
            ['t.csv line 2: labels: expected "customer=contoso;tier=gold"'],
        ),
        (f'name,tenant_id\n\n"a\nb",{TENANT_ID}\n', ["t.csv line 4: name: holds a line break"]),
        (f'name,tenant_id\n"a" b,{TENANT_ID}\n', ["t.csv line 2: is not CSV: "]),
        (
            f"name,tenant_id\na,{TENANT_ID}\nb,nope\nA,{TENANT_ID}\n",
            [
                "t.csv line 3: tenant_id: expected a GUID",
                "t.csv line 4: name: A is taken by t.csv line 2",
                f"t.csv line 4: tenant_id: {TENANT_ID} is listed before, at t.csv line 2",
            ],
        ),
        (
            f"name,tenant_id,auth.client_secret,auth.kind\na,{TENANT_ID},hunter2,client_secret\n",
            [
                "t.csv line 2: auth.client_secret: a literal secret is refused",
                "t.csv line 2: auth.client_id: is missing",
            ],
        ),
    ],
)
def test_faults_of_a_csv_name_file_and_line(tmp_path: Path, table: str, words: list[str]) -> None:
    found = fault(tmp_path, SINK + AUTH + "tenants_file: t.csv\n", t_csv=table).problems
    assert len(found) == len(words), found
    assert all(any(one.startswith(word) for one in found) for word in words), found
    assert "hunter2" not in str(found)


def test_a_table_of_another_encoding_is_told_as_excel_calls_the_right_one(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("name,labels.customer\na,Müller\n".encode("cp1252"))
    (found,) = fault(tmp_path, SINK + AUTH + "tenants_file: t.csv\n").problems
    assert found.endswith("t.csv (line 2): is not UTF-8 text; in Excel: Save as > CSV UTF-8")


def test_faults_of_a_yaml_of_tenants(tmp_path: Path) -> None:
    table = f"- name: a\n  tenant_id: {TENANT_ID}\n  name: b\n- name: c\n  tenant_id: x\n- d\n"
    assert fault(tmp_path, SINK + AUTH + "tenants_file: t.yaml\n", t_yaml=table).problems == [
        "t.yaml line 3: [0].name: is written twice, first on line 1",
        f"t.yaml line 5: tenant_id: {NO_TENANT_ID}",
        "t.yaml line 6: expected a mapping (key: value), found text",
    ]


def test_a_tenants_file_that_is_not_there_is_one_of_the_problems(tmp_path: Path) -> None:
    found = fault(tmp_path, "lgo: {}\n" + MINIMAL + "tenants_file: none.csv\n").problems
    assert found == [
        "lgo (line 1): unknown key; did you mean log?",
        f"tenants_file (line 4): {tmp_path / 'none.csv'}: there is no such file",
    ]


def test_a_tenants_file_that_is_no_list(tmp_path: Path) -> None:
    (found,) = fault(tmp_path, MINIMAL + "tenants_file: t.yaml\n", t_yaml="a: b").problems
    assert found == "tenants_file (line 3): t.yaml: is not a list of tenants"
