"""What installed packages bring, by real entry points: found by name, judged, and no trouble to anybody else."""

import json
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from connector.app import open_app
from connector.cli.main import main
from connector.config.parse import parse
from connector.config.values import Config
from connector.deliver.delivery import Outcome
from connector.deliver.prepare import build_sink
from connector.errors import ConfigError, PluginError, Unavailable
from connector.mapping.load import load_mapping
from connector.model import Receipt, Record
from connector.observe.poller import PollOutcome
from connector.plugins import installed
from connector.plugins.guards import guarded_sink
from connector.plugins.installed import Plugin
from connector.registry import sink_module, sink_options
from tests.config_example import KINDS, minimal
from tests.fake_graph import TENANT, history, profile_document
from tests.fakes.sink import FakeSink
from tests.golden import samples

SINK = """
    import asyncio
    from connector.model import Receipt
    from connector.options import Option

    PORT = 1
    OPTIONS = {"url": Option("url", required=True, doc="Where to."), "token": Option("secret", doc="Its token.")}
    FORMAT = "cloudevents"
    got = []

    class Sink:
        max_records, max_bytes, replay_window_s = 100, 1_000_000, 0.0
        def __init__(self, name):
            self.name = name
        async def send(self, records):
            got.extend(r.event_id for r in records)
            return Receipt(frozenset(r.event_id for r in records))
        async def probe(self): ...
        async def close(self): ...

    def build(name, options, network):
        return Sink(name)
"""
SOURCE = """
    import asyncio
    from connector.model import Absent, Snapshot
    from connector.options import Option
    from connector.sources.days import parse_days

    PORT = 1
    OPTIONS = {"days": Option("int", 2, minimum=1, doc="How many."), "key": Option("secret", doc="Its key.")}
    closed = []

    class Source:
        name = "acme"
        def __init__(self, tenant_id, options):
            self.tenant_id, self.options = tenant_id, options
        async def read(self, known):
            documents = [{"id": f"{self.tenant_id}_2026-11-2{n}", "azureTenantId": self.tenant_id, "currentScore": n,
                "maxScore": 10, "createdDateTime": f"2026-11-2{n}T00:00:00Z", "controlScores": [
                {"controlName": "A", "controlCategory": "Identity", "score": n}]} for n in range(self.options["days"])]
            days = parse_days(documents, self.tenant_id, "acme", "2026-11-25")
            return Snapshot("acme", tuple(days), Absent("unsupported", "has no catalogue"))
        async def close(self):
            closed.append(self.tenant_id)

    def build(tenant_id, options, network):
        return Source(tenant_id, options)
"""


def raising(error: str, *, instead_of: str = "documents = ") -> str:
    """The source, which raises an error of ours instead of going on."""
    code = SOURCE.replace("import asyncio", "from connector import errors")
    return code.replace(instead_of, f"raise errors.{error}('half of it'); {instead_of}")


Install = Callable[..., Any]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a package as pip leaves it: a module and its .dist-info; returns how to get at the module."""
    place = tmp_path / "site-packages"
    place.mkdir()
    monkeypatch.syspath_prepend(str(place))
    modules: list[str] = []

    def install(code: str, *, kind: str = "sink", name: str = "acme", package: str = "acme-tools") -> Callable[[], Any]:
        module = f"{package.replace('-', '_')}_{kind}"
        modules.append(module)
        (place / module).mkdir(exist_ok=True)
        (place / module / "__init__.py").write_text(textwrap.dedent(code))
        info = place / f"{package.replace('-', '_')}-2.1.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 2.1\n")
        with (info / "entry_points.txt").open("a") as file:
            file.write(f"[{installed.GROUPS[kind]}]\n{name} = {module}\n")
        installed.plugins.cache_clear()
        return lambda: sys.modules[module]

    yield install
    installed.plugins.cache_clear()
    for module in modules:
        sys.modules.pop(module, None)


def configuration(folder: Path, *sinks: Mapping[str, Any], **tenant: Any) -> str:
    saved = folder / "in"
    saved.mkdir(exist_ok=True)
    (saved / "scores.json").write_text(json.dumps({"value": history("2026-11-22", 3)}))
    (saved / "profiles.json").write_text(json.dumps({"value": [profile_document("AdminMFAV2")]}))
    raw = {
        "state": {"path": "s.db"},
        "tenants": [{"name": "contoso", "tenant_id": TENANT, **(tenant or {"source": "files", "path": "in"})}],
        "sinks": [{"name": "archive", "kind": "file", "path": "events.jsonl"}, *sinks],
        "health": {"listen": "off"},
    }
    file = folder / "c.yaml"
    file.write_text(json.dumps(raw))
    return str(file)


ACME = {"name": "own", "kind": "acme", "url": "https://acme.example"}


def config_of(file: str) -> Config:
    raw = json.loads(Path(file).read_text())
    return parse(raw, sink_options=sink_options, base_dir=str(Path(file).parent))


async def once(file: str, patience_s: float = 60.0) -> tuple[list[PollOutcome], dict[str, Outcome]]:
    async with open_app(config_of(file)) as app:
        polls = await app.poll_once()
        return polls, {outcome.sink: outcome for outcome in await app.deliver_once(patience_s)}


# -------------------------------------------------------------------------------------------------------------- sinks


async def test_a_sink_is_found_by_name_and_gets_what_the_others_get(tmp_path: Path, install: Install) -> None:
    module = install(SINK)
    polls, sinks = await once(configuration(tmp_path, ACME))
    assert [p.status for p in polls] == ["ok"]
    assert (sinks["own"].state, sinks["archive"].state) == ("ok", "ok")
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    assert {json.loads(line)["id"] for line in lines} == set(module().got)


async def test_what_it_does_to_a_record_is_not_done_to_the_event(tmp_path: Path) -> None:
    class Sink:
        name, max_records, max_bytes, replay_window_s = "own", 100, 1_000_000, 0.0

        async def send(self, records: Sequence[Record]) -> Receipt:
            for record in records:
                payload: Any = record.payload
                payload["event"]["control"]["threats"].clear()
            return Receipt(frozenset(record.event_id for record in records))

        async def probe(self) -> None: ...
        async def close(self) -> None: ...

    event = samples.event("control.observed")
    record = load_mapping("splunk").render(event)
    sink = guarded_sink(
        Plugin("sink", "acme", "acme-tools", "2.1", EntryPoint("acme", "acme", "securescore.sinks")), "own", Sink
    )
    for each in (record, evolve(record, encoded=None)):
        assert (await sink.send([each])).accepted == {event.id}
    assert (event, record) == (samples.event("control.observed"), load_mapping("splunk").render(event))


def test_its_options_are_judged_like_those_of_a_shipped_sink(
    tmp_path: Path, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install(SINK)
    assert main(["check", "-c", configuration(tmp_path, {**ACME, "url": "x", "token": "literal", "zzz": 1})]) == 2
    heard = capsys.readouterr().err
    for words in ("sinks[1].url", "sinks[1].token", "sinks[1].zzz (line 1): unknown key"):
        assert words in heard


def test_what_ships_needs_no_look_at_what_is_installed(tmp_path: Path, install: Install) -> None:
    file = configuration(tmp_path)
    assert main(["once", "-c", file]) == 0
    assert main(["status", "-c", file]) == 0
    assert installed.plugins.cache_info().misses == 0


async def test_a_home_that_brings_its_own_sink_needs_no_look_either(tmp_path: Path, install: Install) -> None:
    """As the Splunk add-on does: a kind that has no module here."""
    raw = minimal(
        state={"path": "s.db"},
        raw={"keep_days": 0},
        sinks=[{"name": "input", "kind": "modular_input", "format": "splunk"}],
        health={"listen": "off"},
    )
    config = parse(raw, sink_options=lambda _: {}, base_dir=str(tmp_path))
    async with open_app(config, ready={"input": FakeSink("input")}) as app:
        assert app.deliveries["input"].mapping.name == "splunk"
    assert installed.plugins.cache_info().misses == 0


def test_an_unknown_kind_is_told_the_plug_ins_too(install: Install) -> None:
    install(SINK)
    with pytest.raises(ConfigError, match="did you mean acme"):
        parse(minimal(sinks=[{"name": "a", "kind": "acmee", "url": "https://a"}]), sink_options=KINDS.get)


def test_a_shipped_kind_cannot_be_taken_over(install: Install) -> None:
    install(SINK, name="file")
    module: Any = sink_module("file")
    assert module.__name__ == "sinks.file"


FAULTS = {
    "is broken": ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
    "ends the program": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "stops half way": ("raise RuntimeError('half way')", "RuntimeError: half way"),
    "states no version": (SINK.replace("PORT = 1", ""), "does not state PORT; this program has version 1"),
    "is of another version": (SINK.replace("PORT = 1", "PORT = 2"), "was written for version 2 of the port"),
    "has no options": (SINK.replace("OPTIONS =", "OPTION ="), "OPTIONS, the table of its keys, is missing"),
    "has strange options": (SINK.replace('Option("url", required', 'Option("uri", required'), "OPTIONS.url is no Opti"),
    "takes a common key": (SINK.replace('"token": Opt', '"tenants": Opt'), "OPTIONS.tenants is a key of every sink"),
    "has no default mapping": (SINK.replace("FORMAT =", "FORM ="), "FORMAT, the name of its default mapping"),
    "names no mapping": (SINK.replace('"cloudevents"', '"clouds"'), "there is no mapping 'clouds'"),
    "builds nothing": (SINK.replace("def build", "def make"), "build() is missing"),
    "fails to build": (SINK.replace("return Sink(name)", "return {}['x']"), "cannot build its sink: KeyError: 'x'"),
    "is no sink": (SINK.replace("return Sink(name)", "return object()"), "send() is missing; probe() is missing"),
    "calls itself otherwise": (SINK.replace("Sink(name)", "Sink('x')"), "the sink calls itself 'x', not 'own'"),
    "has no bounds": (SINK.replace("= 100, 1_000_000", "= 0, None"), "max_records is 0, not a number from 1 on"),
    "fails to send": (SINK.replace("got.extend", "nothing.extend"), "NameError: name 'nothing' is not defined"),
    "answers nothing": (SINK.replace("return Receipt", "Receipt"), "answers with NoneType, not with a Receipt"),
    "invents": (SINK.replace("Receipt(frozenset(", "Receipt(frozenset('x' + "), "speaks of events that it was not giv"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_its_fault_is_its_own_and_told(tmp_path: Path, install: Install, fault: str) -> None:
    code, words = FAULTS[fault]
    install(code)
    tried_again = fault in ("fails to send", "answers nothing", "invents")
    polls, sinks = await once(configuration(tmp_path, ACME), 4.0 if tried_again else 60.0)
    assert [p.status for p in polls] == ["ok"]
    assert sinks["archive"].state == "ok"
    assert sinks["archive"].sent
    assert sinks["own"].state in ("denied", "unavailable")
    assert words in str(sinks["own"].error)
    assert "acme-tools" in f"{sinks['own'].error} {sinks['own'].hint}"
    assert sinks["own"].hint


async def test_a_refused_plug_in_is_a_problem_that_the_other_sinks_tell(tmp_path: Path, install: Install) -> None:
    install(SINK.replace("PORT = 1", "PORT = 2"))
    file = configuration(tmp_path, ACME)
    await once(file)
    await once(file)
    told = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    (problem,) = [e["data"] for e in told if e["subject"] == "sink:own"]
    assert "acme-tools 2.1" in problem["detail"]


async def test_a_close_that_fails_closes_the_rest(tmp_path: Path, install: Install) -> None:
    install(SINK.replace("async def close(self): ...", "async def close(self): raise KeyError('gone')"))
    _, sinks = await once(configuration(tmp_path, ACME))
    assert sinks["own"].state == "ok"
    await once(str(tmp_path / "c.yaml"))  # the state was closed: its lock is free


def test_two_packages_of_one_name_are_both_named(install: Install) -> None:
    install(SINK)
    install(SINK, package="umbrella")
    with pytest.raises(PluginError, match=r"brought by acme-tools 2\.1 and by umbrella 2\.1"):
        sink_module("acme")


async def test_what_never_answers_keeps_nobodys_place(
    tmp_path: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("PROBE_LIMIT_S", "READ_LIMIT_S"):
        monkeypatch.setattr(f"connector.plugins.guards.{limit}", 0.01)
    install(SINK.replace("async def probe(self): ...", "async def probe(self): await asyncio.sleep(9)"))
    install(SOURCE.replace("documents = [{", "await asyncio.sleep(9); documents = [{"), kind="source")
    config = config_of(configuration(tmp_path, ACME, source="acme"))
    sink = build_sink(config.sinks[1])
    with pytest.raises(Unavailable, match="TimeoutError"):
        await sink.probe()
    polls, _ = await once(str(tmp_path / "c.yaml"))
    assert (polls[0].status, polls[0].reason) == ("failed", "unavailable")


# ------------------------------------------------------------------------------------------------------------ sources


async def test_a_source_is_found_by_name_and_closed_after_the_read(tmp_path: Path, install: Install) -> None:
    module = install(SOURCE, kind="source")
    file = configuration(tmp_path, source="acme", options={"days": 3, "key": "${env:PATH}"})
    assert config_of(file).tenants[0].options == {"days": 3, "key": "${env:PATH}"}
    polls, _ = await once(file)
    assert (polls[0].status, polls[0].newest_day) == ("partial", "2026-11-22")
    assert module().closed == [TENANT]
    told = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert {e["data"]["source"] for e in told if e["type"] == "securescore.score.observed"} == {"acme"}


@pytest.mark.parametrize(
    ("tenant", "words"),
    [
        (
            {"source": "acmee"},
            "'acmee' is not one of graph, files, defender_cloud, defender_endpoint, acme; did you mean acme?",
        ),
        ({"source": "acme", "options": {"days": 0}}, "tenants[0].options.days: "),
        ({"source": "acme", "options": {"dayz": 1}}, "tenants[0].options.dayz: unknown key; did you mean days?"),
        ({"source": "acme", "options": {"key": "literal"}}, "tenants[0].options.key: "),
        ({"source": "acme", "path": "in"}, "source: acme has keys of its own, under options: remove it"),
        ({"source": "files", "path": "in", "options": {}}, "belongs to a source that a plug-in brings"),
    ],
)
def test_a_wrong_source_is_refused(tmp_path: Path, install: Install, tenant: dict[str, Any], words: str) -> None:
    install(SOURCE, kind="source")
    with pytest.raises(ConfigError) as caught:
        config_of(configuration(tmp_path, **tenant))
    assert any(words in problem for problem in caught.value.problems), caught.value.problems


def test_tenants_share_the_options_under_defaults(tmp_path: Path, install: Install) -> None:
    install(SOURCE, kind="source")
    raw = minimal(
        defaults={"source": "acme", "options": {"days": 5, "key": "${env:KEY}"}},
        tenants=[{"name": "a", "tenant_id": TENANT, "options": {"days": 4}}],
    )
    (tenant,) = parse(raw, sink_options=KINDS.get).tenants
    assert (tenant.source, tenant.options) == ("acme", {"days": 4, "key": "${env:KEY}"})


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("1 / 0", "source plug-in acme (acme-tools 2.1) cannot be loaded: ZeroDivisionError"),
        (SOURCE.replace("PORT = 1", "PORT = 9"), "was written for version 9 of the port"),
        (SOURCE.replace("def build", "def make"), "build() is missing"),
        (SOURCE.replace("return Source(", "return dict("), "cannot build its source"),
        (SOURCE.replace("documents = ", "documents = nothing + "), "NameError: name 'nothing' is not defined"),
        (SOURCE.replace("return Snapshot(", "return tuple(("), "Error"),
        (raising("PartialRead"), "source plug-in acme (acme-tools 2.1): half of it"),
        (raising("StoreError"), "source plug-in acme (acme-tools 2.1): half of it"),  # is none of our state's
        (raising("Conflict"), "source plug-in acme (acme-tools 2.1): half of it"),
        (raising("StoreError", instead_of="return Source("), "cannot build its source: StoreError: half of it"),
    ],
)
async def test_a_sources_fault_is_its_tenants_own(tmp_path: Path, install: Install, code: str, words: str) -> None:
    install(code, kind="source")
    file = configuration(tmp_path, source="acme")
    raw = json.loads(Path(file).read_text())
    other = "99999999-9999-4999-8999-999999999999"
    raw["tenants"].append({"name": "lab", "tenant_id": other, "source": "files", "path": "lab"})
    Path(file).write_text(json.dumps(raw))
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "all.json").write_text((tmp_path / "in" / "scores.json").read_text().replace(TENANT, other))
    polls, _ = await once(file)
    assert (polls[0].status, polls[1].newest_day) == ("failed", "2026-11-22")
    assert words in str(polls[0].error)
    assert polls[0].hint


# ------------------------------------------------------------------------------------------------------------- mappings


def test_a_mapping_is_found_by_name_and_may_be_extended(tmp_path: Path, install: Install) -> None:
    install("", kind="mapping")
    place = tmp_path / "site-packages" / "acme_tools_mapping"
    (place / "acme.yaml").write_text("encode: json\nfields: {what: type}\n")
    assert load_mapping("acme").encode == "json"
    (tmp_path / "own.yaml").write_text("extends: acme\nfields: {more: id}\n")
    assert load_mapping("./own.yaml", str(tmp_path)).encode == "json"
    config = config_of(configuration(tmp_path, {"name": "own", "kind": "file", "path": "own.jsonl", "format": "acme"}))
    assert config.sinks[1].format == "acme"


@pytest.mark.parametrize(
    ("text", "words"),
    [("encode: xml\n", "unknown encoding"), (None, "there is no acme.yaml in acme_tools_mapping")],
)
async def test_a_broken_mapping_is_its_sinks_own_fault(
    tmp_path: Path, install: Install, text: str | None, words: str
) -> None:
    install("", kind="mapping")
    if text is not None:
        (tmp_path / "site-packages" / "acme_tools_mapping" / "acme.yaml").write_text(text)
    entry = {"name": "own", "kind": "file", "path": "own.jsonl", "format": "acme"}
    polls, sinks = await once(configuration(tmp_path, entry))
    assert [p.status for p in polls] == ["ok"]
    assert (sinks["archive"].state, sinks["own"].state) == ("ok", "denied")
    assert words in str(sinks["own"].error)


def test_an_unknown_format_is_told_the_plug_ins_too(tmp_path: Path, install: Install) -> None:
    install("", kind="mapping")
    with pytest.raises(ConfigError, match="did you mean acme"):
        config_of(configuration(tmp_path, {"name": "own", "kind": "file", "path": "own.jsonl", "format": "acmee"}))
