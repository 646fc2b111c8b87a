"""Durable homes of state, events and settlement; one contract suite for all.

Here live SQLite (sqlite.py, sqlite_events.py, sqlite_sinks.py, sqlite_together.py, sqlite_file.py, sqlite_layout.py,
chunks.py, and recent.py, what was just committed) and one algorithm over immutable documents (documents.py,
documents_read.py, documents_write.py, cursors.py, numbered.py, listing.py, packing.py, documents_survey.py) in a
folder, Azure blobs or a Splunk KV store (directory.py, blob.py, kvstore.py); what a settlement means (settling.py) is
the same for all. What is not as it was left is noted to be told (flaws.py, documents_flaws.py, sqlite_flaws.py,
whereabouts.py). lock.py and lease.py see to it that one process writes; trial.py finds out whether it could. What an
event says is not known here.
Begin with settling.py, then sqlite.py.
"""
