"""What one check came to, how findings are shown, and the exit code they amount to. Nothing is checked here."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from connector.cli.terminal import console, draw, plain, styled, table
from connector.errors import ConfigError, SecureScoreError
from connector.signin.refusals import SignInRefused

if TYPE_CHECKING:
    from rich.text import Text

SHOWN_TENANTS = 20


@frozen
class Finding:
    """What one check came to. `what` is its name, `subject` whom it concerns; `ok` None means a warning.

    `reason` is a stable word for the fault, where it has one: the same for every tenant. `stops` is the exit code that
    `run` would end with at its start because of this, 0 when it would start; `partly` = something is done all the same.
    """

    what: str
    subject: str
    ok: bool | None
    detail: str
    hint: str = ""
    reason: str = ""
    stops: int = 0
    partly: bool = False


def failed(what: str, subject: str, error: SecureScoreError) -> Finding:
    """The finding of an error."""
    words = "; ".join(error.problems) if isinstance(error, ConfigError) else error.what
    return Finding(what, subject, False, words, error.hint, error.reason if isinstance(error, SignInRefused) else "")


def exit_code(findings: Sequence[Finding]) -> int:
    """What `once` would end with, as far as it can be known: a start that is refused counts before anything else."""
    if stops := max(f.stops for f in findings):
        return stops
    if not any(f.ok is False for f in findings):
        return 0
    done = [f for f in findings if f.what in ("tenant", "sink", "send_test") and (f.ok is not False or f.partly)]
    return 3 if done else 1


_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def show(findings: Sequence[Finding]) -> None:
    """The findings, and what they amount to."""
    listed(findings)
    out = console()
    bad = sum(f.ok is False for f in findings)
    out.print()
    if bad:
        out.print(f"{bad} of {len(findings)} checks failed.")
    elif any(f.reason == "in_use" for f in findings):
        out.print("All good; a second `run` on this state would be refused.")
    else:
        out.print("All good.")


def listed(findings: Sequence[Finding]) -> None:
    """One line a finding; thousands of tenants are grouped by fault."""
    made = table("", "check", "about", "found")
    readable = 0
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for f in findings:
        if f.what in ("tenant", "write_auth") and f.ok is False:
            same = f.reason or _GUID.sub("…", f.detail.replace(f.subject, "…"))
            groups.setdefault((f.what, same, f.hint), []).append(f)
            continue
        if f.what == "tenant" and f.ok:
            readable += 1
            if readable > SHOWN_TENANTS:
                continue
        made.add_row(_mark(f.ok), f.what, plain(f.subject), _words(f.detail, f.hint))
    if readable > SHOWN_TENANTS:
        made.add_row(_mark(True), "tenant", f"{readable - SHOWN_TENANTS} more", "readable")
    for (what, _, hint), members in groups.items():
        names = ", ".join(f.subject for f in members[:SHOWN_TENANTS])
        if len(members) > SHOWN_TENANTS:
            names += f" and {len(members) - SHOWN_TENANTS} more"
        detail = (
            members[0].detail if len(members) == 1 else f"{len(members)} tenants: {_GUID.sub('…', members[0].detail)}"
        )
        made.add_row(_mark(False), what, plain(names), _words(detail, hint))
    draw(made, console())


def _mark(ok: bool | None) -> "Text":
    return styled("ok", "green") if ok else styled("--", "yellow") if ok is None else styled("no", "red")


def _words(detail: str, hint: str) -> str:
    return plain(detail) + (f"\nnext: {plain(hint)}" if hint else "")
