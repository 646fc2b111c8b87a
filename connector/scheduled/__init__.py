"""Reports that are written by themselves: once a period and tenant, when the period is over.

Here live which period is over and what it is called (periods.py), where a report of it lies and which old ones go
(places.py), what a report is made of (material.py) and the writing itself, with the event that tells it (writer.py).
What a report says is not known here (report/), nor when somebody looks, nor who mails it (a sink). Begin with
periods.py, then writer.py.
"""
