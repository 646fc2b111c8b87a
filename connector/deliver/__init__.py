"""From the outbox to a receiver: due → render → send → settle, one loop a sink.

Here live the loop (delivery.py), what a batch is made of (batch.py) and tenants whose own place at a sink fails
(apart.py). No receiver's wire is known here (sinks/), no mapping's meaning (mapping/), and nothing observes. Begin with
batch.py, then delivery.py.
"""
