"""The scores beside a tenant's Secure Score: weakest first, exact, complete in JSON, and never part of its figures."""

import json
from importlib import resources
from typing import Any

from attrs import asdict, evolve
from jsonschema import Draft202012Validator

from connector.language.choice import language
from connector.observe import aggregate
from connector.observe.memory import Memory
from connector.report import build, cloud, document, page
from connector.report.figures import Pen
from connector.report.markup import html
from connector.report.values import CloudMaterial, Cover, TenantReport
from tests.fakes.clouds import entry, exposure
from tests.fakes.posture import HOSTILE, simulated, whole


def hybrid(name: str = "contoso-azure") -> TenantReport:
    made = simulated(7)
    when = whole(made)
    clouds = [make(when.start, when.end, made.tenant_id) for make in (entry, exposure)]
    return build.build(evolve(made, clouds=(evolve(clouds[0], name=name), clouds[1])), when)


def shown(report: TenantReport) -> str:
    return html(cloud.cloud(report, Pen(language("en")), "t1"))


def test_subscriptions_begin_with_the_weakest_and_controls_with_the_most_to_win() -> None:
    (azure, _) = hybrid().clouds
    assert [(u.id, u.percent, u.delta, u.open, u.controls) for u in azure.units] == [
        ("bbbb", 20.0, 0.0, 1, 1),
        ("aaaa", 80.0, 3.0, 1, 1),  # what applies to nothing is no open control
    ]
    assert [(c.title, c.scored, c.open, c.points, c.unhealthy) for c in azure.controls] == [
        ("Enable MFA", 2, 2, 10.0, 10)
    ]
    assert [(s.name, s.standard, s.failed) for s in azure.standards] == [
        ("Production", "PCI", 7),
        ("Production", "CIS", 3),
    ]
    assert azure.no_data == 2


def test_what_moved_the_score_over_all_sums_to_its_change() -> None:
    (azure, _) = hybrid().clouds
    assert azure.whole is not None
    assert azure.whole.percent_delta is not None
    assert azure.residual is not None
    assert azure.effects["weight"] < 0 < azure.effects["score"]
    assert round(sum(azure.effects.values()) + azure.residual, 4) == round(azure.whole.percent_delta, 4)


def test_the_figures_of_the_secure_score_stay_as_they_are() -> None:
    made = simulated(7)
    assert evolve(hybrid(), clouds=()) == build.build(made, whole(made))
    assert shown(build.build(made, whole(made))) == ""


def test_the_section_says_what_the_figures_are() -> None:
    text = shown(hybrid())
    assert "These scores stand beside the Secure Score and are never added to it." in text
    assert "contoso-azure, all subscriptions: 40.00%" in text
    assert "the risk-based score of the Defender portal has no interface" in text
    assert "contoso-devices, exposure score of all devices: 45.5 of 100" in text
    assert "Of an exposure score lower is better." in text
    assert "2 enabled subscriptions have no score yet." in text
    assert text.index("Production") > text.index("bbbb")


def test_device_groups_begin_with_the_most_exposed() -> None:
    (_, devices) = hybrid().clouds
    assert [(u.name, u.score, u.delta) for u in devices.units] == [("Servers", 71.0, 11.0), ("Laptops", 20.0, -20.0)]


def test_a_rise_of_an_exposure_is_not_shown_as_good() -> None:
    after = shown(hybrid()).partition("contoso-devices")[2]
    assert "+15.5" in after
    assert 'class="n up"' not in after


def test_an_entry_without_a_day_says_so() -> None:
    made = simulated(7)
    when = whole(made)
    empty = CloudMaterial("contoso-azure", "defender_cloud", aggregate.unit(made.tenant_id), Memory())
    text = shown(build.build(evolve(made, clouds=(empty,)), when))
    assert "Of contoso-azure no score is known in the period." in text


def test_what_others_wrote_cannot_harm_the_page() -> None:
    for text in HOSTILE:
        assert "<script" not in shown(hybrid(text))


def test_the_document_fits_the_shipped_schema() -> None:
    schema: dict[str, Any] = json.loads((resources.files("connector.report") / "report.schema.json").read_text("utf-8"))
    one = hybrid()
    cover = Cover("0", "2026-11-22T00:00:00Z", one.period, (one.summary,), (one.summary.name,))
    text = document.opening(cover) + document.tenant(one, 0) + document.closing(cover)
    assert [e.message for e in Draft202012Validator(schema).iter_errors(json.loads(text))] == []
    assert json.loads(text)["tenants"][0]["clouds"] == json.loads(json.dumps([asdict(c) for c in one.clouds]))


def test_the_page_has_the_section() -> None:
    assert 'id="t1-cloud"' in page.Form().tenant(hybrid(), 0)


def test_what_the_controls_lack_and_how_they_comply_is_in_the_annex() -> None:
    text = html(cloud.behind(hybrid(), Pen(language("en")), "t1"))
    for caption in ("Controls of all subscriptions", "Regulatory compliance"):
        assert f"<summary>{caption}" in text
        assert caption not in shown(hybrid())
    made = simulated(7)
    assert cloud.behind(build.build(made, whole(made)), Pen(language("en")), "t1") is None


def test_the_report_of_an_entry_leaves_out_what_graph_alone_knows() -> None:
    made = simulated(7)
    found = build.build(made, whole(made))
    own = page.Form().tenant(evolve(found, source="defender_cloud"), 0)
    for key in ("exceptions", "frameworks", "insurance", "averages"):
        assert f'id="t1-{key}"' not in own
        assert f'id="t1-{key}"' in page.Form().tenant(found, 0)
