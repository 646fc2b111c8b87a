"""What the simulated service does of its own accord beside the plain case, each as a share: of controls, of months.

Values only: world.py and histories.py carry them out. What goes wrong on the way of an answer is in faults.py.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import evolve, field, fields, frozen


def _share(default: float, on: float, words: str) -> Any:
    """A share in [0, 1]: `default` unless stated, `on` when switched on by its name alone."""
    return field(default=default, metadata={"on": on, "words": words})


@frozen
class Habits:
    """Shares in [0, 1]. None of these makes a document's sums wrong or changes which state is in force."""

    # On from the start: the real service promises none of it, so nobody may rely on the opposite.
    unordered: float = _share(0.3, 1.0, "state histories that are not listed oldest first")
    undated: float = _share(0.2, 1.0, "state histories whose entries from before the world began have no date")
    late_points: float = _share(0.2, 1.0, "controls whose points follow a state after up to 7 days, not 6 to 40 hours")
    # By switch: state histories.
    forgotten_dates: float = _share(0.0, 0.5, "state histories whose superseded entries lose their date")
    respelled: float = _share(0.0, 0.5, "state histories whose casing, fractions and comments are re-spelt monthly")
    commented: float = _share(0.0, 0.5, "entries that are followed by the same state with another comment")
    inserted: float = _share(0.0, 0.5, "entries beside which an older one turns up two days later")
    shortened: float = _share(0.0, 0.5, "state histories of which only the newest one to three entries are kept")
    odd_states: float = _share(0.0, 0.5, "state histories that begin with a state of no known list")
    # By switch: documents and catalogue.
    busy: float = _share(0.0, 1.0, "days whose document is rewritten hourly instead of three to eight times")
    flipped_counts: float = _share(0.0, 0.2, "controls a day whose `count` is told as `total` minus `count`")
    recategorised: float = _share(0.0, 0.3, "controls that change category, service and tier every 30 days")
    swinging: float = _share(0.0, 0.05, "controls whose maximum goes up and down by one every six hours")
    flickering: float = _share(0.0, 0.05, "controls that vanish for an hour a day, from document and from catalogue")
    big_batches: float = _share(0.0, 1.0, "months in which more than twenty controls join at once")
    # By switch: answers.
    locked: float = _share(0.0, 1.0, "completed controls whose state cannot be changed (400)")
    codeless: float = _share(0.0, 1.0, 'errors whose `code` is ""')


PLAIN = Habits(unordered=0.0, undated=0.0, late_points=0.0)
"""The service at its kindest: for tests that are about something else."""

_FIELDS = {one.name: one for one in fields(Habits)}
HABITS: Mapping[str, str] = {name: str(one.metadata["words"]) for name, one in _FIELDS.items()}
"""Name → the share of what."""


def switched(words: Iterable[str], base: Habits | None = None) -> Habits:
    """Habits by name: `NAME`, `NAME=SHARE`, or `all`. Raises ValueError that says what is wrong."""
    found = base or Habits()
    for word in words:
        name, equals, text = word.partition("=")
        if name == "all" and not equals:
            found = evolve(found, **{each: float(one.metadata["on"]) for each, one in _FIELDS.items()})
            continue
        if name not in _FIELDS:
            raise ValueError(f"{name!r} is none of {', '.join(_FIELDS)}, all")
        share = _number(text) if equals else float(_FIELDS[name].metadata["on"])
        if not 0 <= share <= 1:
            raise ValueError(f"{name}: {text!r} is not a share from 0 to 1")
        found = evolve(found, **{name: share})
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return -1.0
