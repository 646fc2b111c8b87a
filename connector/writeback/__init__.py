"""Changing the state of a control at Microsoft, on an operator's word only.

Here live the decision what will be sent (plan.py), the sending and reading back (apply.py), the event of it
(record.py), and who may ask besides a command: a baseline (by_baseline.py), an alert action of Splunk (by_action.py).
Nothing that runs by itself may import this wing (pyproject.toml, tool.importlinter). Begin with plan.py.
"""
