"""From a snapshot to events: what changed, by how much and why, decided once and committed with the new state.

Here live the loop's step (poller.py, schedule.py, and places.py: who works, who waits), what of a read is believed
(guard.py, catalogue.py), the decision whether and when something is told (fold.py, targets.py, standing.py,
exceptions.py) and how often before (occurrences.py), what two days differ in (diff.py, groups.py), what a change says
(changes.py, totals.py, notices.py), why a step happened (explain.py, of resources resources.py, in the values of
causes.py) and many of them (waterfall.py), what a unit is called (naming.py) and what its compliance says
(compliance.py), how serious it is (severity.py), what is remembered (memory.py, months.py, heads.py, pending_writes.py)
and what of it cannot be read (mending.py), which units an entry of several has (estate.py, unit_changes.py), whose
parts of its state are which (units.py), which of them are folded in one commit (unit_folds.py) and the score over all
of them (aggregate.py), ids and times put on (events.py), references to frameworks (frameworks.py), many tenants in one
state (storm.py) and the evidence archive (evidence.py). Nothing here reads a source's wire or knows a sink. Begin with
fold.py.
"""
