"""The report as one HTML file: no script, no request, no link that leads out of it; readable on paper and by machines.

Its policy allows exactly one style sheet, named by hash, and pictures that are in the file: nothing that slipped into a
text could load or run.
"""

import base64
import hashlib
from functools import lru_cache
from importlib import resources

from attrs import Factory, frozen

from connector.language.choice import language
from connector.language.spoken import Language
from connector.report.compare import comparison
from connector.report.figures import Pen, folded
from connector.report.front import front
from connector.report.markup import Content, Markup, el, html, open_tag
from connector.report.sections import Section, sections
from connector.report.values import Brand, Cover, TenantReport
from connector.report.words import METHOD


@frozen
class Form:
    """The form in a language: what comes first, each tenant, what ends it."""

    speak: Language = Factory(language)

    @property
    def pen(self) -> Pen:
        return Pen(self.speak)

    def opening(self, cover: Cover) -> str:
        """Everything before the tenants: what the report is, and the comparison when there are several tenants."""
        pen, several = self.pen, len(cover.summaries) > 1
        who = cover.brand.customer or (
            pen.text("page.tenants", n=len(cover.summaries)) if several else cover.summaries[0].name
        )
        period = pen.say.period(cover.period.start, cover.period.end)
        head = _head(pen, html(pen("page.window_title", who=who, period=period)))
        return f"{head}{_header(cover, who, pen)}\n<main>\n{comparison(cover, pen) if several else ''}"

    def tenant(self, report: TenantReport, number: int) -> str:
        foreign = None if self.speak.is_of(report.language) else report.language
        pen, prefix = Pen(self.speak, foreign), f"t{number + 1}"
        parts = sections(report, pen, prefix)
        links = el("ul", [el("li", el("a", p.title, href=f"#{prefix}-{p.key}")) for p in parts])
        return (
            open_tag("article", id=prefix, aria_labelledby=f"{prefix}-name")
            + front(report, pen, prefix)
            + el("nav", links, aria_label=pen.text("page.sections", name=report.summary.name))
            + "\n".join(_section(part, prefix) for part in parts)
            + "</article>\n"
        )

    def closing(self, cover: Cover) -> str:
        pen = self.pen
        method = el(
            "section",
            el("h2", pen("page.method"), id="method"),
            folded(
                pen("page.method_summary"),
                el(
                    "dl",
                    [(el("dt", pen(f"method_title.{name}")), el("dd", pen(f"method.{name}"))) for name in METHOD],
                    class_="facts method",
                ),
                printed=True,
            ),
            aria_labelledby="method",
            class_="method",
        )
        footer = el("footer", pen.p("page.footer", product=f"Secure Score Connector {cover.version}"))
        return f"{method}\n</main>\n{footer}\n</body>\n</html>\n"


def _head(pen: Pen, title: Markup) -> str:
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    return (
        f'<!DOCTYPE html>\n{open_tag("html", lang=pen.say.tag)}\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{title}</title>\n"
        f'<link rel="icon" href="data:,">\n<style>{style}</style>\n</head>\n<body>\n'
    )


def _header(cover: Cover, who: str, pen: Pen) -> Markup:
    brand = cover.brand
    made = pen.say.moment(cover.generated_at)
    product = f"Secure Score Connector {cover.version}"
    return el(
        "header",
        el("p", brand.classification, class_="classification") if brand.classification else None,
        el(
            "div",
            _logo(brand),
            el(
                "div",
                pen.p("page.kicker", class_="kicker"),
                el("h1", pen("page.title", who=who)),
                el(
                    "p",
                    pen.together(
                        pen("page.period", period=pen.say.period(cover.period.start, cover.period.end)),
                        pen("page.made", moment=made, product=product),
                        pen("page.author", author=brand.author) if brand.author else None,
                    ),
                    class_="facts-line",
                ),
            ),
            class_="head",
        ),
    )


def _logo(brand: Brand) -> Content:
    if not brand.logo:
        return None
    name = brand.author or brand.customer
    size = {"width": brand.logo_width, "height": brand.logo_height}
    return open_tag("img", src=brand.logo, alt=name, class_="logo", **size)


@lru_cache(maxsize=1)
def _style() -> str:
    """The style sheet as it stands in the file: its hash must be that of these very characters."""
    text = (resources.files("connector.report") / "report.css").read_text("utf-8")
    return "\n" + "\n".join(line.strip() for line in text.splitlines() if line.strip()) + "\n"


def _section(part: Section, prefix: str) -> Markup:
    name = f"{prefix}-{part.key}"
    return el("section", el("h3", part.title, id=name), part.content, aria_labelledby=name, class_=part.key)
