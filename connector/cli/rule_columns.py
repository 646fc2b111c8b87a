"""The columns a data collection rule declares, read from Azure Resource Manager, compared with those we send.

Used by `check` only, where the rule's resource id is configured and the credential may read it. A column the rule does
not declare is dropped by the service without a word. Source: Microsoft.Insights dataCollectionRules, 2023-03-11.
"""

import json
from collections.abc import Mapping

from connector.errors import Denied, SecureScoreError, Unavailable
from connector.net.http import Transport, error_for

API_VERSION = "2023-03-11"
READER = "give the credential the role Reader on the rule, or leave rule_resource_id out"

Columns = Mapping[str, str]
"""Column → type, in the words of the rule."""


async def declared(http: Transport, root: str, resource_id: str, token: str) -> dict[str, dict[str, str]]:
    """The columns of every stream the rule declares. `resource_id` begins with /subscriptions/.

    Raises Denied (403, 404, not a rule) or Unavailable.
    """
    url = f"{root}{resource_id}?api-version={API_VERSION}"
    answer = await http.request("GET", url, headers={"Authorization": f"Bearer {token}"})
    if answer.status in (401, 403):
        raise Denied("the rule cannot be read: HTTP " + str(answer.status), READER)
    if answer.status == 404:
        raise Denied(f"there is no rule {resource_id}", "correct rule_resource_id: Overview > JSON view > Resource ID")
    if answer.status != 200:
        raise error_for(answer, "the data collection rule")
    if answer.cut:
        raise Unavailable(f"the description of the rule is {answer.cut}")
    try:
        streams = json.loads(answer.body)["properties"]["streamDeclarations"]
        return {
            str(name): {str(c["name"]): str(c["type"]) for c in stream["columns"]} for name, stream in streams.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Denied(f"{resource_id} is no data collection rule", "correct rule_resource_id") from error


def differences(ours: Columns, theirs: Columns | None) -> list[str]:
    """What would be lost or refused, in words: columns the stream lacks, and columns of another type."""
    if theirs is None:
        return ["the rule declares no such stream"]
    known = {name: kind.casefold() for name, kind in theirs.items()}
    lacking = [name for name in ours if name not in known]
    found = [f"not declared: {', '.join(lacking)}"] if lacking else []
    for name, kind in ours.items():
        if name in known and kind and kind.casefold() != known[name]:
            found.append(f"{name} is declared {theirs[name]}, we send {kind}")
    return found


def resource_id_problem(text: str) -> SecureScoreError | None:
    """Why a text cannot be the resource id of a rule; None when it can."""
    parts = text.strip("/").split("/")
    wanted = ("subscriptions", None, "resourcegroups", None, "providers", "microsoft.insights", "datacollectionrules")
    fits = len(parts) == 8 and all(w is None or p.casefold() == w for w, p in zip(wanted, parts, strict=False))
    if text.startswith("/") and fits and all(parts) and not any(c in text for c in "?#% "):
        return None
    return Denied(
        f"{text!r} is not the resource id of a data collection rule",
        "expected /subscriptions/…/resourceGroups/…/providers/Microsoft.Insights/dataCollectionRules/NAME",
    )
