"""What Microsoft Entra's refusals mean, and what the operator does about each: code → reason, words, next step.

Pure. The codes are those of "Microsoft Entra authentication and authorization error codes" (AADSTS…); the words are
ours. Taking secrets out of the far end's words is the caller's part: it knows them.
"""

import re
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from connector.errors import Denied, SecureScoreError, Unavailable
from connector.net.http import printable

MAX_WORDS = 240


class SignInRefused(Denied):
    """Microsoft Entra refused to sign in. `reason` is a stable word, the same for every tenant with this fault."""

    def __init__(self, what: str, hint: str, reason: str) -> None:
        super().__init__(what, hint)
        self.reason = reason


@frozen
class _Meaning:
    reason: str
    words: str
    hint: str


_RENEW = "Put the secret's value, not its id, where auth.client_secret points; if it is lost, create a new one."
_EXPIRED = "Create a new secret in the app registration, put it where auth.client_secret points, correct expires_on."
_CONSENT = "An administrator of that tenant must consent: `securescore check --consent-csv FILE` writes the address."
_WHERE = "Check tenant_id, client_id and the cloud. "
_FEDERATION = "Correct issuer, subject and audience of the federated credential in the app registration."
_AGAIN = "Sign in again: securescore login --tenant …"
_RESOURCE = "Check the cloud: this directory does not know the service the token is for."
_CERTIFICATE = "Upload the certificate (its public part) to the app registration, or use the one that is there."

_MEANINGS: Mapping[int, _Meaning] = {
    7000215: _Meaning("secret_wrong", "the client secret is wrong", _RENEW),
    7000222: _Meaning("secret_expired", "the client secret has expired", _EXPIRED),
    7000218: _Meaning(
        "public_client_off",
        "the app registration does not allow a sign-in without secret",
        "Allow public client flows in the app registration (Authentication), or use another kind of auth.",
    ),
    700016: _Meaning(
        "app_unknown",
        "the application is not known in this directory",
        _WHERE + "If they are right, nobody there has consented yet: "
        "`securescore check --consent-csv FILE` writes the address.",
    ),
    7000229: _Meaning("consent_missing", "the application is not present in this directory", _CONSENT),
    65001: _Meaning("consent_missing", "nobody has consented to the application in this directory", _CONSENT),
    65004: _Meaning("consent_missing", "the consent was declined", _CONSENT),
    7000112: _Meaning(
        "app_disabled",
        "the application is disabled in this directory",
        "An administrator of that tenant must enable it under Enterprise applications.",
    ),
    90002: _Meaning("tenant_unknown", "there is no such tenant", "Check tenant_id and the cloud."),
    700027: _Meaning("certificate_unknown", "the certificate does not belong to the application", _CERTIFICATE),
    7000214: _Meaning("certificate_revoked", "the certificate was revoked", "Use another certificate."),
    1000502: _Meaning(
        "secret_expired",
        "the certificate has expired or is not valid yet",
        "Renew the certificate and upload its public part to the app registration; check this machine's clock.",
    ),
    700024: _Meaning(
        "clock",
        "the signed request was not valid at this time",
        "Set this machine's clock (NTP). For a federated token: see that its supplier renews the file.",
    ),
    70021: _Meaning("federation", "no federated credential matches the token that was presented", _FEDERATION),
    700211: _Meaning("federation", "no federated credential has the issuer of the token", _FEDERATION),
    700212: _Meaning("federation", "no federated credential has the audience of the token", _FEDERATION),
    700213: _Meaning("federation", "no federated credential has the subject of the token", _FEDERATION),
    53003: _Meaning(
        "conditional_access",
        "a Conditional Access policy blocks the sign-in",
        "Ask the administrators of that tenant to admit this application, or this machine's address.",
    ),
    50057: _Meaning("user_disabled", "the user's account is disabled", "Sign in as another user."),
    50105: _Meaning(
        "user_not_assigned",
        "the user is not assigned to the application",
        "Assign the user to the enterprise application, or do not require assignment.",
    ),
    50020: _Meaning(
        "user_foreign", "the user does not belong to this directory", "Sign in as a member, a guest, or through GDAP."
    ),
    500011: _Meaning("resource_unknown", "this directory does not know the service the token is for", _RESOURCE),
    500014: _Meaning("resource_unknown", "the service the token is for is disabled in this directory", _RESOURCE),
    900382: _Meaning("cloud", "this directory lives in another cloud", "Set the tenant's cloud: global, usgov or dod."),
    900021: _Meaning("tenant_unknown", "there is no such tenant", "Check tenant_id."),
    900023: _Meaning("tenant_unknown", "there is no such tenant", "Check tenant_id."),
}

LAPSED = frozenset({50173, 700082, 70008, 70043, 70044, 50078, 50076, 50079, 50074, 50089, 50133, 50132, 700003})
"""Codes after which only a new sign-in of the user helps: revoked, expired, or another factor is wanted."""

_TRANSIENT = frozenset({50196, 90024, 90025, 90033})

CONSENT_REASONS = frozenset({"consent_missing", "app_unknown"})
"""Reasons that an administrator's consent heals (an unknown application in a right directory, too)."""


def refusal(result: Mapping[str, Any], *, what: str, delegated: bool = False) -> SecureScoreError:
    """The error that a refusal means. `what` says what was attempted ("signing in to …"), `delegated` by a person.

    Time heals what the service calls temporary: Unavailable.
    """
    words = said(result)
    code = _code(result)
    error = printable(result.get("error") or "", 60)
    if code in _TRANSIENT or error in ("temporarily_unavailable", "server_error"):
        return Unavailable(f"{what}: the sign-in service cannot answer at the moment{words}")
    if delegated and (code in LAPSED or (error in ("invalid_grant", "interaction_required") and code not in _MEANINGS)):
        return SignInRefused(f"{what}: the sign-in has lapsed{words}", _AGAIN, "login_lapsed")
    meaning = _MEANINGS.get(code)
    if meaning is not None:
        return SignInRefused(f"{what}: {meaning.words}{words}", meaning.hint, meaning.reason)
    hint = "Look the code up under https://login.microsoftonline.com/error" if code else "Check the credential."
    return SignInRefused(f"{what}: refused{words}", hint, error or "refused")


def said(result: Mapping[str, Any]) -> str:
    """The far end's own words in brackets: one bounded line, with the ids that support asks for."""
    text = str(result.get("error_description") or result.get("error") or "")[:4096]
    text = re.split(r"\s*(?:Trace ID:|Correlation ID:|Timestamp:|\r|\n)", text, maxsplit=1)[0]
    ids = [f"{name} {printable(result[key], 64)}" for name, key in _IDS if isinstance(result.get(key), str)]
    line = "; ".join(part for part in (printable(text, MAX_WORDS), ", ".join(ids)) if part)
    return f" ({line})" if line else ""


_IDS = (("trace", "trace_id"), ("correlation", "correlation_id"))


def _code(result: Mapping[str, Any]) -> int:
    """The AADSTS number of a refusal, 0 when it has none."""
    codes = result.get("error_codes")
    if isinstance(codes, list) and codes and isinstance(codes[0], int):
        return codes[0]
    found = re.match(r"\s*AADSTS(\d{4,8})\b", str(result.get("error_description") or ""))
    return int(found[1]) if found else 0
