"""What is known of the real service, and how the simulated one plays it: `securescore simulate --facts` prints this.

A table, no logic. The words say what was seen on the wire or is documented; `test_simulator_facts.py` holds the names
against habits and fault kinds.
"""

from collections.abc import Mapping
from typing import Literal

from attrs import frozen

from connector.simulator.faults import KINDS
from connector.simulator.habits import HABITS, Habits


@frozen
class Fact:
    """`how` names habits or faults, an option of `World` or `serve`, or the reason why it cannot be played."""

    says: str
    played: Literal["always", "habit", "fault", "option", "no"]
    how: str = ""


FACTS: Mapping[str, tuple[Fact, ...]] = {
    "Asking": (
        Fact("newest first; $top=1 answers with a nextLink to the whole history all the same", "always"),
        Fact("$top and $skip together; $count; one document or profile by its id", "always"),
        Fact("$select is honoured; $orderby and a $filter on anything but the id of a document are not", "always"),
        Fact("more than 16 or-terms in a $filter: 200 and an empty list", "always"),
        Fact("profiles come 200 a page whatever $top asks; skip tokens are opaque, nextLinks absolute", "always"),
        Fact("/beta answers as /v1.0; there is no delta query", "always"),
        Fact("a skip token refused, a page gone, the same or a new nextLink for ever, another host, none", "fault",
             "bad_request, not_found, link_loop, endless, foreign_link, relative_link, empty_link, missing_page"),
        Fact("any of them on a later page only", "option",
             "--fault KIND,path=skiptoken,after=N"),
        Fact("$top is per provider on /security; $skip above 500 is refused for alerts", "no",
             "told of alerts, never seen on these collections"),
        Fact("$batch", "no", "the connector sends none"),
    ),
    "Being let in": (
        Fact("a token for another service or another cloud: 401", "always"),
        Fact("an application needs the application role; a user the scope and a directory role", "always"),
        Fact("reading with the write permission is allowed, writing needs it", "always"),
        Fact("consent is a snapshot, per tenant; applications unknown, disabled or with an expired secret", "option",
             "Registration(…) of the sign-in host"),
        Fact("a 401 may carry a claims challenge, which a fresh token meets", "fault", "challenge"),
        Fact("a refusal may mean a permission, a role or a licence", "fault", "denied, unauthorized"),
        Fact("documents of another directory", "fault", "wrong_tenant"),
        Fact("delegated administration of partners (GDAP)", "no", "no public capture says how it differs"),
    ),
    "Limits": (
        Fact("150 requests a minute, 10,000 in ten minutes, 4 at once, per tenant; refused ones count", "option",
             "serve(budget=Budget()), on in `simulate` and `demo`"),
        Fact("429 with seconds, a date, or no Retry-After; 500, 502, 503; a reset; a slow answer", "fault",
             "throttled, error, bad_gateway, unavailable, reset, slow"),
        Fact("130,000 requests in 10 seconds over all tenants", "no", "no machine of a test gets there"),
    ),
    "Documents": (
        Fact("only the newest is detailed; history loses description, evidence, the slots of sentences", "always"),
        Fact("the newest is rewritten three to eight times a day under its id; closed days stand still", "always"),
        Fact("several revisions of one day, hour by hour", "habit", "busy"),
        Fact("one a UTC day, 90 kept; days that are missing or a day or two late; a new tenant has none", "always"),
        Fact("a feed that stands still", "fault", "frozen"),
        Fact("a document dated far ahead", "fault", "future"),
        Fact("user and device counts and with them the score drift daily without anybody's doing", "always"),
        Fact("services look at different times: Teams monthly, Entra weekly, some daily", "always"),
        Fact("controls by the dozen or by hundreds: 16 (tiny), about 68, 230 (e5)", "option", "World(sizes=…)"),
        Fact("`count` means the exposed for devices and the compliant elsewhere", "always"),
        Fact("what `count` means is redefined while the score stands still", "habit", "flipped_counts"),
        Fact("a total of 0 at 100 %, bare counts, a sentence as only evidence or against the score", "always"),
        Fact("averages move daily, are -1 or missing on some days; activeUserCount is 0 on some", "always"),
        Fact("averages are missing for weeks on end", "no", "single days show the same: nothing depends on them"),
        Fact("-1 in numbers; numbers as text or without a point; older spellings; unknown properties", "fault",
             "sentinels, odd_types"),
        Fact("a total that is not the sum, a maximum off by one, a third of the controls missing", "fault",
             "inconsistent, lost_rows"),
        Fact("206 with warnings of several providers; an empty list after a full one; a body cut short", "fault",
             "partial, empty, truncated"),
        Fact("scores that differ from the portal's", "no", "there is no portal here"),
    ),
    "States": (
        Fact("an array; never touched = one undated Default; some have none; casing and fractions vary", "always"),
        Fact("its order is nobody's promise", "habit", "unordered"),
        Fact("dates may be null", "habit", "undated, forgotten_dates"),
        Fact("its length is nobody's promise", "habit", "shortened"),
        Fact("entries are edited or re-spelt, repeated with a comment, or turn up after later ones", "habit",
             "respelled, commented, inserted"),
        Fact("states of no known list", "habit", "odd_states"),
        Fact("ThirdParty and Reviewed give full points that nobody measured, Ignored none", "always"),
        Fact("points follow a state after hours, or up to 7 days", "habit", "late_points"),
        Fact("states of device controls are set in Defender, not through Graph", "always"),
        Fact("the text of a state's comment is anybody's: HTML, formulas, line breaks", "always"),
        Fact("security defaults give full points without evidence", "no", "their shape on the wire is not known"),
    ),
    "Catalogue": (
        Fact("controls join and vanish monthly without notice, edits are rare; apps have ids by instance", "always"),
        Fact("more than twenty join in a month", "habit", "big_batches"),
        Fact("controls move to another category, service or tier with an equal total", "habit", "recategorised"),
        Fact("a maximum that moves to and fro, also under one newest day", "habit", "swinging"),
        Fact("controls that are gone for an hour", "habit", "flickering"),
        Fact("titles, ranks and threats are not unique; lastModifiedDateTime is null; deprecated is false", "always"),
        Fact("licences come and go with their controls", "always"),
        Fact("catalogues differ between clouds", "option", "World(catalogue=SHARE)"),
        Fact("texts in other languages", "no", "announced in 2018, never captured"),
    ),
    "Writing": (
        Fact("vendorInformation is required, omitted fields stay, 204 or with Prefer 200, always appending", "always"),
        Fact("device controls are refused", "always"),
        Fact("completed controls are refused", "habit", "locked"),
        Fact("a good body is refused; a state falls back to Default; a 204 without effect; an effect without a 204",
             "fault", "write_refused, write_falls_back, write_ignored, write_unclear"),
    ),
    "Azure": (
        Fact("one score a subscription, computed anew every eight hours; no history", "always"),
        Fact("points are the maximum times the share of healthy resources, to two decimals; sums hold", "always"),
        Fact("a maximum is 0 while a control applies to nothing, and back; resources come and go", "always"),
        Fact("a recommendation moves to another control, without notice and without a date", "always"),
        Fact("subscriptions are disabled, were never started, vanish and return, or come later", "always"),
        Fact("what a principal may not see is left out with status 200; ids are in either case", "always"),
        Fact('`resultTruncated` is a text and says "false" on pages that have a successor', "always"),
        Fact("each answer says what is left of 15 queries in 5 seconds; the next is 429", "option",
             "serve(budget=Budget()), on in `simulate` and `demo`"),
        Fact("500 for a query that is fine by hand; 404 with `Error` in capitals", "fault",
             "query_error, capital_error"),
        Fact("rows come and go, or come twice while others are passed over", "fault", "unannounced, repeated_rows"),
        Fact("more than 10,000 subscriptions: only a header says so", "fault", "limit_hit"),
        Fact("delegated subscriptions of other directories are among the rows", "fault", "lighthouse"),
        Fact("how AWS accounts and GCP projects show in these rows", "no", "no public capture shows one"),
        Fact("the risk-based score of the Defender portal", "no", "it has no interface"),
    ),
    "Defender for Endpoint": (
        Fact("the exposure score (lower is better) of the organization and by device group, as of the call", "always"),
        Fact("a token for the wrong audience is refused like a missing permission", "always"),
        Fact("the score's new computation", "no", "no answer says which one it is"),
    ),
    "Errors": (
        Fact("request ids on every answer", "always"),
        Fact('`error.code` may be ""', "habit", "codeless"),
        Fact("a captive portal, an endless body, a compressed one", "fault", "html, huge, gzip_bomb"),
    ),
}  # fmt: skip


def lines() -> list[str]:
    """The table for people, with the names that `--fault` and `--habit` take."""
    out: list[str] = []
    for about, facts in FACTS.items():
        out += [f"{about}:", *(f"  {fact.says}\n      {_how(fact)}" for fact in facts), ""]
    standing = Habits()
    out += ["Habits (--habit NAME, NAME=SHARE or all); the share says how many:"]
    out += [f"  {name:<16} {getattr(standing, name):g}  {words}" for name, words in HABITS.items()]
    out += ["", "Faults (--fault KIND, with ,path=TEXT ,tenant=ID ,times=N ,after=N where wanted):"]
    out += [f"  {name:<16} {words}" for name, words in KINDS.items()]
    return out


def _how(fact: Fact) -> str:
    words = {"always": "always", "habit": "habit", "fault": "fault", "option": "option", "no": "not played"}
    return f"{words[fact.played]}: {fact.how}" if fact.how else words[fact.played]
