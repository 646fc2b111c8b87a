"""The matrix of controls by tenants: each cell is what the tenant's own report says, the largest gap first."""

from attrs import evolve

from connector.observe import diff
from connector.report import build, matrix
from tests.fakes.posture import simulated, whole


def columns() -> list[matrix.Column]:
    made = [evolve(simulated(s), name=f"tenant {s}") for s in (7, 8)]
    found = [matrix.column(m, whole(m)) for m in made]
    return [c for c in found if c is not None]


def test_every_cell_is_what_the_report_of_that_tenant_says() -> None:
    found = matrix.matrix(columns())
    assert found is not None
    for place, seed in enumerate((7, 8)):
        made = simulated(seed)
        scored = {s.control: s for s in build.build(made, whole(made)).scored}
        told = {r.control: (r.standings[place], r.percents[place]) for r in found.rows if r.standings[place]}
        assert told == {name: (s.standing, s.percent) for name, s in scored.items()}
        assert {r.control for r in found.rows if r.standings[place] is None}.isdisjoint(scored)


def test_what_lacks_most_points_stands_first_with_its_sum() -> None:
    found = matrix.matrix(columns())
    assert found is not None
    lacking = [r.points or 0.0 for r in found.rows]
    assert lacking == sorted(lacking, reverse=True)
    scored = [{s.control: s.points for s in build.build(m, whole(m)).scored} for m in (simulated(7), simulated(8))]
    for row in found.rows:
        parts = [diff.fixed(one[row.control] or 0.0) for one in scored if row.control in one]
        assert diff.fixed(row.points or 0.0) == sum(parts)
        assert (row.open, row.scored) == (sum(p > 0 for p in parts), len(parts))


def test_the_weakest_tenants_have_a_column() -> None:
    one = columns()[0]
    many = [evolve(one, tenant=f"t{n}", percent=None if n == 3 else 100.0 - n) for n in range(matrix.TENANTS + 5)]
    names = [c.tenant for c in matrix.weakest(many)]
    assert names[0] == f"t{matrix.TENANTS + 4}"
    assert len(names) == matrix.TENANTS
    assert "t3" not in names, "what is not known is not the weakest"


def test_one_tenant_needs_no_matrix_and_one_without_data_has_no_column() -> None:
    assert matrix.matrix(columns()[:1]) is None
    made = simulated(7)
    assert matrix.column(made, build.period("2020-01-01", "2020-01-02")) is None


def test_an_entry_of_several_units_has_no_column() -> None:
    made = simulated(7)
    assert matrix.column(evolve(made, source="defender_cloud"), whole(made)) is None
