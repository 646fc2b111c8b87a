"""First arrivals in the order of their commits, per entry of `tenants` and stream: who came too late. Pure."""

from collections.abc import Iterable, Mapping

from connector.model import Event


def out_of_order(committed: Mapping[str, Event], arrived: Iterable[str]) -> list[str]:
    """The ids that came behind a later one of their entry and stream. `committed` is in the order of the commits."""
    places = {known: place for place, known in enumerate(committed)}
    last: dict[tuple[str, str], int] = {}
    late = []
    for known in arrived:
        queue = (committed[known].entry, committed[known].stream)
        if places[known] < last.get(queue, -1):
            late.append(known)
        last[queue] = max(places[known], last.get(queue, -1))
    return late
