"""Controls by subject and by the references of frameworks, in HTML: values in, markup out. Indicative all of it."""

from collections.abc import Callable, Sequence

from connector.report import charts
from connector.report.figures import Pen, folded, share
from connector.report.markup import Content, Markup, el, soft
from connector.report.values import Reference, TenantReport


def frameworks(report: TenantReport, pen: Pen, _prefix: str) -> Content:
    """By subject; the references of each framework are in the annex."""
    found = report.frameworks
    covered = [
        pen("frameworks.covered", title=f"{f.title} {f.version}".strip(), some=f.mapped, n=f.total)
        for f in found.frameworks
    ]
    return (
        references(
            "frameworks.subject_caption", "column.subject", found.classes, pen, lambda r: pen.word("class", r.id)
        )
        if found.classes
        else None,
        el("p", pen.together(*covered, pen("frameworks.in_annex")), class_="small") if covered else None,
    )


def references(
    caption: str, heading: str, found: Sequence[Reference], pen: Pen, name: Callable[[Reference], Content]
) -> Markup:
    rows = [
        (
            name(r),
            pen.percent(r.percent) if r.controls else "–",
            pen("figure.in_full", some=r.full, every=len(r.controls)) if r.controls else pen("groups.gone"),
            (
                pen.of(r.score, r.max_score),
                (" ", el("span", pen("exceptions.of_it_asserted", points=r.asserted), class_="small stated-text"))
                if r.asserted
                else None,
            ),
            charts.level(None if r.percent is None else r.percent / 100, share(r.asserted, r.max_score) or 0.0),
            pen.change(r.delta),
        )
        for r in found
    ]
    columns = (
        (heading, ""),
        ("column.percent", "num chief"),
        ("column.controls", "num"),
        ("column.points", "num"),
        ("", "draw"),
        ("column.change", "num"),
    )
    return pen.table(caption, columns, rows, "dense references")


def all_references(report: TenantReport, pen: Pen, _prefix: str) -> Content:
    """Annex: every reference of every framework by its name, and the controls that have none."""
    found = report.frameworks

    def named(one: Reference) -> Content:
        return (
            el("span", one.id, class_="n"),
            " ",
            el("span", one.title, class_="small", lang="en") if one.title else None,
        )

    return (
        [
            folded(
                pen("frameworks.references", title=f"{f.title} {f.version}".strip(), n=len(f.references)),
                (
                    pen.p("frameworks.provenance", class_="small", words=el("span", f.provenance, lang="en")),
                    references("frameworks.caption", "column.reference", f.references, pen, named),
                ),
                printed=True,
            )
            for f in found.frameworks
        ],
        folded(
            pen("frameworks.unmapped", n=len(found.unmapped)),
            el("p", soft(", ".join(found.unmapped)), class_="small ids"),
        )
        if found.unmapped
        else None,
        pen.p("frameworks.version", class_="small", version=str(found.table_version)),
    )
