"""Encoders from values to wire text or rows: pure, no I/O, no clock.

Here lives one file for each wire form (cef.py, leef.py, cloudevents.py, jsonl.py, hec.py, ingestion.py, syslog.py,
relp.py), and what they share (text.py, lines.py, shorten.py, spreadsheet.py). What was read from equal rows is
remembered by lately.py. Which field goes where is data (mappings/); sending is a sink's. Begin with cloudevents.py.
"""
