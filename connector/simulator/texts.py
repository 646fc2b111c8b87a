"""Every word a simulated tenant says: titles, descriptions, remediation, status sentences, comments. All our own.

Pure functions of an id and numbers. Shapes follow the real service: HTML with entities, lengths up to about 3,000
characters, status sentences with slots that are blank or zero in history.
"""

import re
from functools import lru_cache

from connector.simulator.chance import rng

_APPS = {
    "SF": "Salesforce",
    "SNOW": "ServiceNow",
    "CitrixSF": "Citrix ShareFile",
    "GitHub": "GitHub",
    "Zendesk": "Zendesk",
    "Atlassian": "Atlassian",
    "Zoom": "Zoom",
    "Okta": "Okta",
    "DocuSign": "DocuSign",
    "Dropbox": "Dropbox",
    "Google": "Google Workspace",
    "NetDocuments": "NetDocuments",
    "Workplace": "Workplace",
}


def _words(text: str) -> str:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_", " ", text)
    return " ".join(word if word.isupper() else word.lower() for word in spaced.split())


def title(entry_id: str) -> str:
    """A readable title made from the id alone (at most 125 characters, as the longest real one)."""
    family, _, rest = entry_id.partition("_")
    if family == "scid":
        return f"{_platform(int(rest))} setting {rest} is hardened"
    if family == "MDA":
        app, _, what = rest.partition("_")
        return f"{_APPS.get(app, app)}: {_words(what)}"[:125]
    if family == "AATP":
        return f"Directory: {_words(rest)}"[:125]
    return f"{family.capitalize()}: {_words(rest)}"[:125]


def _platform(number: int) -> str:
    if number >= 6000:
        return "Linux"
    if number >= 5000:
        return "macOS"
    if number >= 3000:
        return "Service and share"
    if 2500 <= number < 2600:
        return "Attack surface"
    return "Endpoint protection" if number >= 2000 else "Windows"


_WHY = (
    "Attackers look for exactly this gap first, because it costs them nothing.",
    "One forgotten exception is enough to make the rest of the work worthless.",
    "The setting protects people who make an honest mistake.",
    "It shortens the time between a break-in and its discovery.",
    "Regulators and insurers ask for proof of it.",
    "Without it, an incident can only be reconstructed by guessing.",
)
_STEPS = (
    "Open the administration centre and choose the <strong>policies</strong> page.",
    "Make a list of everyone who would be affected &amp; tell them in advance.",
    "Create a policy in report-only mode and watch it for a week.",
    "Exclude two emergency accounts; store their credentials offline.",
    "Assign the policy to a pilot group, then to <em>all users</em>.",
    "Switch the policy on and check the sign-in log for refusals.",
    "Remove exceptions that nobody can justify any more.",
    'Write down the decision in the risk register (<a href="https://intranet.example/risk?a=1&amp;b=2">form</a>).',
    "Repeat the check every quarter; let the owner sign it.",
)
_IMPACT = (
    "Users notice one more prompt per day at most.",
    "Old clients stop working; plan their replacement before you begin.",
    "None for most people. Administrators change one habit.",
    "The help desk should expect questions during the first week.",
)


@lru_cache(maxsize=1024)
def description(entry_id: str, entry_title: str) -> str:
    """Why the control exists, as HTML text (150 to 900 characters); a few are empty, as in reality."""
    draw = rng("description", entry_id)
    if draw.random() < 0.02:
        return ""
    sentences = [f"{entry_title}."] + [draw.choice(_WHY) for _ in range(2 + draw.randrange(8))]
    text = " ".join(sentences)
    return f"<p>{text}&nbsp;</p>" if draw.random() < 0.4 else f"\n\t\t{text}"


@lru_cache(maxsize=1024)
def remediation(entry_id: str, entry_title: str) -> str:
    """What to do, as an HTML list (about 500 characters, rarely about 3,000); a few are empty."""
    draw = rng("remediation", entry_id)
    if draw.random() < 0.01:
        return ""
    count = 36 if draw.random() < 0.01 else 3 + draw.randrange(6)
    steps = "".join(f"<li>{draw.choice(_STEPS)}</li>" for _ in range(count))
    return f"<p>Goal: {entry_title}.</p><ol>{steps}</ol>"


@lru_cache(maxsize=1024)
def remediation_impact(entry_id: str) -> str:
    draw = rng("impact", entry_id)
    return " ".join(draw.choice(_IMPACT) for _ in range(1 + draw.randrange(3)))


# ------------------------------------------------------------------------------------------------------- status texts


def users_status(compliant: int, total: int) -> str:
    """Identity: the sentence counts those who are *not* compliant, whatever `count` says."""
    return f"{total - compliant} of {total} users are not covered yet."


def policy_status(compliant: int, total: int) -> str:
    """Mail protection: a percentage and the policies, as HTML."""
    percent = round(100 * compliant / total) if total else 100
    policies = f"<ul><li>Default - {compliant} users ({percent}%)</li></ul>"
    return f"<p>{percent}% of users have a strict policy&nbsp;</p>{policies}"


def device_status(exposed: int | str, total: int | str) -> str:
    return f"{exposed}/{total} exposed devices"


POLICY_BLANK = "<p> % of users have a strict policy&nbsp;</p><ul></ul>"


def switch_status(on: bool) -> str:
    return f"Feature in place: {'true' if on else 'false'}."


SWITCH_BLANK = "Feature in place: ."


def sentence_status(entry_id: str, good: bool) -> str:
    """Controls whose only evidence is a sentence; the one about password age contradicts its score, as in reality."""
    if entry_id == "PWAgePolicyNew":
        good = not good
    return "The current setting is as recommended." if good else "The current setting is weaker than recommended."


SENTENCE_BLANK = "The current setting is ."


def bare_status(count: int | str) -> str:
    return f"{count} accounts hold this role."


# ------------------------------------------------------------------------------------------------------------- people

COMMENTS = (
    "Covered by the mail gateway, ticket 4711",
    "Accepted until the next review | see risk register no. 12",
    "<b>accepted</b> by the board; cost=too high",
    'Vendor said "not needed",\nwe agree for now',
    "Ausnahme für die Zweigstelle \\ geprüft",
    '=HYPERLINK("https://example.com","see here")',
    "Third product does this; evidence in the GRC tool",
    "",
)
ROLES = ("security-operations", "compliance", "endpoint-team", "identity-team", "service-desk")
