"""Since when controls are open, from the days that are known. Pure.

What lies before the oldest known day is not known, and a missing day shows nothing.
"""

from collections.abc import Iterable, Mapping

from connector.model import Control, Profile, Version
from connector.observe import diff


def open_since(
    names: Iterable[str], newest: Version, earlier: Iterable[Version], profiles: Mapping[str, Profile]
) -> dict[str, tuple[str, bool]]:
    """Control → the first day on which it was seen open without having been full since, and whether it was not open on
    the known day before. `earlier` are the days before the newest, latest first; no more are looked at than it takes.
    """
    found = dict.fromkeys(names, (newest.day.day, False))
    running: dict[str, Control | None] = {name: newest.day.controls.get(name) for name in found}
    reached = newest.day.day  # so far back every one that is running was open
    for version in earlier:
        if not running:
            break
        controls = version.day.controls
        for name, known in list(running.items()):
            control = controls.get(name)
            if control is known and control is not None:  # read as one object: it did not move
                continue
            full = True if control is None else diff.is_full(control, profiles.get(name))
            if full is False:
                running[name] = control
            else:
                found[name] = (reached, full is True)
                del running[name]
        reached = version.day.day
    return found | dict.fromkeys(running, (reached, False))
