"""The closed schema: every mistake in a mapping file is named with file, line, key and the nearest known word."""

from pathlib import Path

import pytest

from connector.errors import ConfigError
from connector.mapping.load import compile_mapping, load_mapping


def _problems(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "own.yaml").write_text(text, "utf-8")
    with pytest.raises(ConfigError) as raised:
        load_mapping("own.yaml", str(tmp_path))
    file = str(tmp_path / "own.yaml")
    assert all(problem.startswith(file) for problem in raised.value.problems)
    return [problem.removeprefix(file).strip() for problem in raised.value.problems]


def _one(tmp_path: Path, node: str) -> str:
    """The single problem of a mapping whose field x (line 3) is this node."""
    problems = _problems(tmp_path, f"encode: object\nfields:\n  x: {node}\n  y: 1\n")
    assert len(problems) == 1, problems
    return problems[0]


@pytest.mark.parametrize(
    ("node", "problem"),
    [
        ("{fro: id}", "(line 3): fields.x.fro: unknown key, did you mean 'from'?"),
        ("{from: id, formatt: upper}", "(line 3): fields.x.formatt: unknown key, did you mean 'format'?"),
        ("{from: id, format: uper}", "(line 3): fields.x.format.uper: unknown formatter, did you mean 'upper'?"),
        ("{from: id, format: round}", "formatter 'round' has a missing, needless or wrong argument"),
        ("{from: id, format: 'upper:x'}", "formatter 'upper:x' has a missing, needless or wrong argument"),
        ("{from: id, type: strng}", "fields.x.type.strng: unknown type, did you mean 'string'?"),
        ("{from: id, table: nams}", "fields.x.table.nams: there is no such table"),
        ("{from: id, table: 7}", "a table is a map of values to values"),
        ("{from: id, table: {a: [1]}}", "fields.x.table.a: a table gives plain values"),
        ("{from: id, max: 0}", "fields.x.max: must be a positive whole number"),
        ("{from: id, max: true}", "fields.x.max: must be a positive whole number"),
        ("{from: id, default: null}", "fields.x.default: a default must be something"),
        ("{from: id, sep: ','}", "fields.x.sep: belongs to join"),
        ("{from: id, value: 1}", "fields.x: needs exactly one of from, value, constant, join, object, list"),
        ("{max: 3}", "fields.x: needs exactly one of"),
        ("{constant: versoin}", "unknown constant, did you mean 'version'?"),
        ("{join: id}", "fields.x.join: must be a list that is not empty"),
        ("{join: [id, {fom: id}]}", "fields.x.join.1.fom: unknown key, did you mean 'from'?"),
        ("{object: []}", "fields.x.object: must be a map that is not empty"),
        ("{object: {a: 1, a.b: 1}}", "fields.x.object.a.b: a is a value already"),
        ("[id, 7]", "fields.x: 7 is no expression"),
        ("[]", "fields.x: needs at least one expression"),
        ("dta.control.id", "an event has no 'dta', did you mean 'data'?"),
        ("Regressed", "A fixed text is written as {value: …}"),
        ("data.control[", "fields.x: bad JMESPath 'data.control['"),
        ("'lenght(data.day)'", "fields.x.lenght: unknown JMESPath function, did you mean 'length'?"),
        ("'join(data.day)'", "JMESPath function join takes 2 arguments, 1 given"),
        ("{from: id, when: 'a ||'}", "fields.x.when: bad JMESPath"),
        ("{from: id, when: 7}", "fields.x.when: 7 is no expression"),
    ],
)
def test_problem_in_a_node(tmp_path: Path, node: str, problem: str) -> None:
    assert problem in _one(tmp_path, node)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "(line 1): a mapping file is a map with encode or extends"),
        ("- a", "(line 1): a mapping file is a map with encode or extends"),
        ("fields: {a: id}", "(line 1): encode is missing: one of cef, leef, cloudevents, json, object"),
        ("encode: cfe\nfields: {a: id}", "encode.cfe: unknown encoding, did you mean 'cef'?"),
        ("encode: object", "(line 1): no fields: nothing would be sent"),
        ("encode: object\n\nfeilds: {a: id}\nfields: {a: id}", "(line 3): feilds: unknown key, did you mean 'fields'?"),
        ("encode: object\nfields: [a]", "(line 2): fields: must be a map"),
        ("encode: object\nfields: {a: id, a: id}", "(line 2): fields.a: stands twice"),
        ("encode: object\nfields: {a: id, a.b: id}", "fields.a.b: a is a value already, it cannot be an object too"),
        ("encode: object\nfields: {a..b: id}", "fields.a..b: bad output key: dots only between words"),
        ("encode: object\nheader: {name: id}\nfields: {a: id}", "header.name: encode object has no header"),
        (
            "encode: object\nfields: {a: id}\nstreams: {chnge: {fields: {a: id}}}",
            "(line 3): streams.chnge: unknown stream, did you mean 'change'?",
        ),
        (
            "encode: object\nfields: {a: id}\ntypes:\n  control.state_change: {fields: {a: id}}",
            "(line 4): types.control.state_change: no event type matches, did you mean 'control.state_changed'?",
        ),
        (
            "encode: object\nfields: {a: id}\ntypes: {control.*: {field: {a: id}}}",
            "types.control.*.field: unknown key, did you mean 'fields'?",
        ),
        ("encode: object\nfields: {a: id}\ntables: {t: 1}", "tables.t: a table is a map of values to values"),
        ("encode: cloudevents\nfields: {a: id}", "fields.a: encode cloudevents passes the event on as it is"),
        ("extends: cfe", "(line 1): extends: there is no mapping 'cfe', did you mean 'cef'?"),
        ("extends: 7", "extends: must be the name of a shipped mapping or a relative path"),
        ("extends: ./own.yaml", "extends: ./own.yaml extends itself"),
        ("extends: cef\nencode: leef", "encode: an extension keeps the encoding of its base, cef"),
        ("extends: cef\nfields: {cs9-x: id}", "fields.cs9-x: bad output key: letters, digits and _ only"),
        ("extends: cef\nfields: {flexString1: id}", "fields.flexString1: needs flexString1Label beside it"),
        ("extends: cef\nheader: {vendr: id}", "header.vendr: unknown header field, did you mean 'vendor'?"),
        ("encode: leef\nfields: {a: id}\nheader: {vendor: id}", "(line 3): header: product is missing"),
        ("encode: [", "(line 1): not YAML"),
        ("encode: object\nfields: {? [a] : id, b: id}", "(line 2): fields: a key must be a word"),
        ("encode: object\nfields: &a {b: *a}", "not YAML"),
        ("a: " + "[" * 100, "not YAML"),
        ("encode: !!python/object:os.system x", "not YAML"),
    ],
)
def test_problem_in_a_file(tmp_path: Path, text: str, problem: str) -> None:
    problems = _problems(tmp_path, text)
    assert any(problem in found for found in problems), problems


def test_all_problems_of_a_file_come_together(tmp_path: Path) -> None:
    problems = _problems(
        tmp_path, "encode: object\nfields:\n  a: {form: id}\n  b: {from: id, max: x}\n  c: dat.x\ntyps: {}\n"
    )
    assert [problem.split(":")[0] for problem in problems] == ["(line 6)", "(line 3)", "(line 4)", "(line 5)"]


def test_problem_of_a_base_names_the_base(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("encode: object\nfields: {a: {form: id}}")
    (tmp_path / "own.yaml").write_text("extends: ./base.yaml")
    with pytest.raises(ConfigError, match=r"base\.yaml \(line 2\)"):
        load_mapping("own.yaml", str(tmp_path))


def test_long_chain_of_bases_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m0.yaml").write_text("encode: object\nfields: {a: id}")
    for n in range(1, 20):
        (tmp_path / f"m{n}.yaml").write_text(f"extends: ./m{n - 1}.yaml")
    assert load_mapping("m5.yaml", str(tmp_path)).name == "m5"
    with pytest.raises(ConfigError, match="more than 8 mappings in a row"):
        load_mapping("m19.yaml", str(tmp_path))


def test_two_files_extending_each_other(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: ./b.yaml")
    (tmp_path / "b.yaml").write_text("extends: ./a.yaml")
    with pytest.raises(ConfigError, match="extends itself"):
        load_mapping("a.yaml", str(tmp_path))


def test_alias_bomb_is_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "more than 20000 values" in _problems(tmp_path, "\n".join(lines))[0]


def test_anchors_may_be_used(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "encode: object\nfields: {a: id}\ntypes: {feed.gap: {fields: &f {b: id}}, feed.stale: {fields: *f}}"
    )
    assert load_mapping("own.yaml", str(tmp_path)).columns("health").keys() == {"a", "b"}


def test_huge_and_undecodable_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "huge.yaml").write_text("#" * 1_000_001)
    (tmp_path / "latin.yaml").write_bytes(b"encode: \xe9")
    with pytest.raises(ConfigError, match="larger than 1000000 octets"):
        load_mapping("huge.yaml", str(tmp_path))
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        load_mapping("latin.yaml", str(tmp_path))


def test_words_that_yaml_takes_for_truth_stay_words_as_keys(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("encode: object\nfields: {on: id, x: {from: id, table: {yes: 1, no: 2, 1: 3}}}")
    compiled = compile_mapping("own.yaml", str(tmp_path))
    assert compiled["layers"][0]["all"]["fields"]["x"]["table"] == {"yes": 1, "no": 2, "1": 3}
    assert "on" in compiled["layers"][0]["all"]["fields"]
