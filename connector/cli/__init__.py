"""The command line: one module a command, and the only prose written for people.

Here live the commands (named as they are typed), the way to them (main.py), the one way from them to a terminal
(terminal.py), what they share (common.py: configuration, store, Graph), what a person means by words (selection.py,
times.py, names.py), what `controls set` and `controls apply` do
(controls_set.py, controls_csv.py, controls_apply.py, controls_send.py), the events of a test delivery
(alert_samples.py, send_test.py), `tenants add` (tenants_add.py) and the evidence that `tenants forget` exports
(evidence_export.py), a data collection rule's columns (rule_columns.py), and what the command line says of itself
(examples.py, describe.py, manual.py: help, completion, the manual page, docs/commands.md). A command decides nothing
about events: it asks the wing that knows and says it to a person. Begin with main.py, then status.py.
"""
