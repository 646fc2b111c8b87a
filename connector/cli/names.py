"""What a person means by a control, an event type or an event id: in any case, and an id by how it begins.

Pure: what exists is handed in. Every name that means nothing is refused with those that come near.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from connector.errors import ConfigError
from connector.formats.cloudevents import TYPE_PREFIX
from connector.model import STREAM_OF_TYPE

ID_BEGIN = 4
"""With fewer characters an id is not said."""
SHOWN = 5
SUGGESTIONS = 3


def spelled(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """The known names that are this one: itself alone where it is known, else those that differ from it by case."""
    of_it = [each for each in known if each.casefold() == name.casefold()]
    return (name,) if name in of_it else tuple(dict.fromkeys(of_it))


def near(name: str, known: Iterable[str]) -> list[str]:
    """The known names that come near, whatever the case, best first."""
    by_fold = {each.casefold(): each for each in known}
    return [by_fold[found] for found in get_close_matches(name.casefold(), by_fold, n=SUGGESTIONS)]


def did_you_mean(found: Iterable[str], otherwise: str) -> str:
    """The hint that names what came near; `otherwise` where nothing did."""
    words = " or ".join(dict.fromkeys(found))
    return f"did you mean {words}?" if words else otherwise


def event_types(globs: Sequence[str]) -> tuple[str, ...]:
    """Globs of event types as the store compares them. Raises ConfigError for those that no type fits."""
    found = tuple(glob.lower().removeprefix(TYPE_PREFIX) for glob in globs)
    strange = [glob for glob in found if not any(fnmatchcase(each, glob) for each in STREAM_OF_TYPE)]
    if strange:
        problems = [f"no event type is {glob!r}" for glob in strange]
        close = [each for glob in strange for each in near(glob, STREAM_OF_TYPE) or _within(glob)]
        raise ConfigError(problems, did_you_mean(close, f"one of {', '.join(STREAM_OF_TYPE)}"))
    return found


def _within(glob: str) -> list[str]:
    """The group that was meant by its name alone: `score` is `score.*`."""
    return [f"{glob}.*"] if any(each.startswith(f"{glob}.") for each in STREAM_OF_TYPE) else []


def whole_id(begin: str, known: Iterable[str]) -> str | None:
    """The one id that is this, or begins so; None when none does. Raises ConfigError when several do."""
    wanted = begin.casefold()
    found = list(dict.fromkeys(each for each in known if each.casefold().startswith(wanted)))
    if begin in found:
        return begin
    if len(wanted) < ID_BEGIN:
        return None
    if len(found) > 1:
        shown = ", ".join(found[:SHOWN]) + (" …" if len(found) > SHOWN else "")
        raise ConfigError([f"{len(found)} events have ids that begin with {begin}: {shown}"], "say more of the id")
    return found[0] if found else None
