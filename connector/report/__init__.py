"""The posture report: what is known of a tenant, as one HTML file, JSON document or table.

Here live its values (values.py), how they come from stored days and events (build.py,
insurance.py), its words (words.py) and its
forms: HTML (page.py, sections.py, moves.py, figures.py, charts.py, markup.py), JSON (document.py), tables (table.py).
Nothing is decomposed or explained here a second time: those figures come from observe/. Begin with values.py.
"""
