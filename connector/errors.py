"""The error taxonomy, named by who must act. Facts and a hint only: prose for people is written once, in cli/.

Every error carries `what` (the fact), `hint` (the operator's next step) and typed facts. Foreign exceptions are mapped
where they are met; any other exception is a bug.
"""

import errno
from typing import TypeVar


class SecureScoreError(Exception):
    """Base of the taxonomy: `what` happened and the `hint` that says what to do next."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


Kept = TypeVar("Kept", bound=SecureScoreError)


def kept(error: Kept) -> Kept:
    """An error that outlives its handler, without the frames and errors behind it: they hold all that was being read.

    A frame that keeps an error whose traceback holds that frame is a circle: what both hold stays until garbage is
    collected, and a whole page in memory is a hundred megabytes at worst.
    """
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


class ConfigError(SecureScoreError):
    """The operator must correct the configuration. `problems` lists all of them, each "path (line N): problem"."""

    def __init__(self, problems: list[str], hint: str = "") -> None:
        super().__init__("; ".join(problems), hint)
        self.problems = problems


class PluginError(ConfigError):
    """A plug-in cannot be loaded or does not fit: its author must act, and only what names it is stopped."""


class Unavailable(SecureScoreError):
    """Time heals it: nothing was accepted. `retry_after_s` is the server's wish in seconds, if it stated one."""

    def __init__(self, what: str, retry_after_s: float | None = None, hint: str = "") -> None:
        super().__init__(what, hint)
        self.retry_after_s = retry_after_s


class Denied(SecureScoreError):
    """The operator must grant or renew something; we keep trying slowly."""


class PartialRead(SecureScoreError):
    """A read was not complete (206, failed page, truncated body); time heals it. `reason` as in model.Absent."""

    def __init__(self, what: str, reason: str = "partial", hint: str = "") -> None:
        super().__init__(what, hint)
        self.reason = reason


class SuspiciousSnapshot(SecureScoreError):
    """A day lost more than plausible and was refused; the operator approves it, or persistence does."""


class WrongTenant(SecureScoreError):
    """The documents belong to another directory than the configured tenant: nothing of them may be used."""


class MappingError(SecureScoreError):
    """The mapping's author must act: this event cannot be rendered for this sink and is parked there."""


class StoreError(SecureScoreError):
    """The state takes or gives nothing now: a full, failing or held disk. Nothing is observed without durability; the
    loops stay, tell it and try again.
    """


class NoState(StoreError):
    """Nothing was kept at this place so far: nobody has polled yet, or its name is that of another place."""


class StateRefused(StoreError):
    """This state is not ours to use: a newer version's, or another program's. Time heals none of it: a process ends."""


class StoreBusy(StateRefused):
    """Another process holds the writer lock; `holder` says who."""

    def __init__(self, what: str, holder: str, hint: str = "") -> None:
        super().__init__(what, hint)
        self.holder = holder


class TenantDamaged(StoreError):
    """What is kept of one tenant cannot be read; no other tenant is concerned."""


class Conflict(SecureScoreError):
    """Another writer committed this tenant first: load again and repeat the observation."""


_EXHAUSTED = {
    errno.EMFILE: ("no more files and connections can be opened", "raise LimitNOFILE of the service (`ulimit -n`)"),
    errno.ENFILE: ("this machine can open no more files", "see who holds so many open, or raise fs.file-max"),
    errno.ENOMEM: ("there is no memory left", "raise MemoryMax of the service, or free memory on this machine"),
}
_NO_THREAD = ("no further thread can be started", "raise TasksMax of the service (`ulimit -u`)")


def exhausted(error: BaseException | None) -> Unavailable | None:
    """What this machine had no more of, where that is behind an error: the operator's matter. None for all others."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        found = _EXHAUSTED.get(error.errno or 0) if isinstance(error, OSError) else None
        if isinstance(error, MemoryError):
            found = _EXHAUSTED[errno.ENOMEM]
        if isinstance(error, RuntimeError) and "start new thread" in str(error):
            found = _NO_THREAD
        if found is not None:
            what, hint = found
            return Unavailable(what, hint=f"{hint}; it is tried again by itself")
        error = error.__cause__ or error.__context__
    return None
