"""Where snapshots come from; one file a source.

Here live Microsoft Graph (graph.py), saved responses (files.py, with folder.py, shapes.py and answers.py), the wire
format both share (pages.py, days.py, profiles.py, scalars.py), Defender for Cloud (defender_cloud.py, with
resource_graph.py and cloud_rows.py) and for Endpoint (defender_endpoint.py), what was saved of these two
(saved_units.py), how a read asks (requests.py) and what may be asked (budget.py). What a snapshot means is decided in
observe/; nothing is kept here between reads. Begin with files.py.
"""
