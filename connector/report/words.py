"""The sentences of a report that its forms share: what stable words mean, and how its numbers come about. Data only."""

from collections.abc import Mapping

METHOD: Mapping[str, str] = {
    "score": "Scores, maxima and percentages are Microsoft's own, one document a day; nothing is estimated or filled "
    "in. What is not known is called unknown and left out of every sum.",
    "decomposition": "A change of the score is the sum of what each control moved, plus a residual that no control "
    "explains, exact to four decimals. The command securescore explain --from DAY --to DAY gives the same numbers.",
    "percentage": "A change of the percentage is split into what points did and what the maximum did; both sum to it.",
    "causes": "A cause is named only with evidence from the data: a declared state, a moved maximum, licensed "
    "services, the number of users or devices, counts and switches. Everything else is unknown. Microsoft removes the "
    "counts from a day as soon as a newer one appears, so days before first contact have few causes.",
    "asserted": "Asserted points belong to controls that somebody declared resolved by a third party or by an "
    "alternate mitigation: Microsoft awards them in full and measures nothing. Measured points are all others.",
    "frameworks": "References to frameworks are indicative: an assignment of ours, not a statement of Microsoft, MITRE "
    "or NIST. A control without a reference is not judged.",
    "comparatives": "Averages are Microsoft's, percentages as sent; how they are computed is not published.",
}

ISSUES: Mapping[str, str] = {
    "gaps": "days are missing",
    "late": "days came late",
    "inconsistent": "control scores do not sum to the total on some days",
    "suspicious": "a day was refused as implausible",
    "stale": "the feed stood still",
    "partial": "reads were incomplete",
    "odd": "some documents are odd",
}

FLAGS: Mapping[str, str] = {
    "inconsistent": "the controls' scores do not sum to the day's total",
    "duplicate_control": "a control is listed twice",
    "date_mismatch": "the document's date and its id disagree",
    "future_dated": "the document is dated in the future",
    "bad_number": "a number could not be read",
    "sentinel": "Microsoft sent -1, its mark for unknown",
}

CAUSES: Mapping[str, str] = {
    "state_asserted": "a state was declared",
    "catalogue": "Microsoft's catalogue changed",
    "licence": "licensed services changed",
    "population": "users or devices came or went",
    "configuration": "configuration or compliance changed",
    "unknown": "no evidence",
    "nothing_moved": "nothing moved",
}

CLASSES: Mapping[str, str] = {
    "mfa_conditional_access": "Multi-factor sign-in and conditional access",
    "self_service_password_reset": "Self-service password reset",
    "privileged_identity": "Privileged accounts",
    "password_hash_sync": "Password hash synchronisation",
    "sign_in_user_risk": "Sign-in and user risk",
    "app_permissions": "Permissions of applications",
    "anomaly_detection": "Anomaly detection",
    "cloud_discovery": "Discovery of cloud applications",
    "activity_policies": "Activity policies",
}

ANSWERS: Mapping[str, str] = {
    "yes": "Yes",
    "partly": "Partly",
    "no": "No",
    "asserted": "Asserted, not measured",
    "not_answerable": "Not answerable from this data",
}

STANDINGS: Mapping[str, str] = {
    "full": "full points, measured",
    "asserted": "full points, declared",
    "part": "part of its points",
    "none": "no points",
    "unknown": "unknown",
}

STATES: Mapping[str, str] = {
    "Ignored": "Risk accepted",
    "ThirdParty": "Third party",
    "Reviewed": "Alternate mitigation",
}

SERVICES: Mapping[str, str] = {
    "AzureAD": "Microsoft Entra ID",
    "Azure ATP": "Defender for Identity",
    "MDATP": "Defender for Endpoint",
    "MDO": "Defender for Office 365",
    "MCAS": "Defender for Cloud Apps",
    "AppG": "App governance",
    "EXO": "Exchange Online",
    "SPO": "SharePoint Online",
    "MIP": "Purview Information Protection",
    "MS Teams": "Teams",
    "Intune": "Intune",
    "FORMS": "Forms",
    "SWAY": "Sway",
    "Admincenter": "Microsoft 365 admin center",
    "unknown": "Not in the catalogue",
}
"""Codes of the API in words; those of connected apps ("MDA_…") stay as they are."""
