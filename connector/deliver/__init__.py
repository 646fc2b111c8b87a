"""From the outbox to a receiver: due → render → send → settle, one loop a sink.

Here live how a configured sink is made ready (prepare.py), what a batch is made of (batch.py), its way to the sink
and back (sending.py), one turn (delivery.py), when turns are taken (loop.py), how large a batch may be when time is
short (pace.py), which events are tried next after failures (isolation.py), which ones wait for a digest (digest.py),
tenants whose own place at a sink fails (apart.py) and the tasks that work at their queues (lanes.py). No receiver's
wire is known here (sinks/), no mapping's meaning (mapping/), and nothing observes. Begin with batch.py, then
delivery.py.
"""
