"""The posture report: what is known of a tenant, as HTML, JSON, tables, and files that compliance tools read.

Here live its values (values.py), how they come from stored days and events (build.py, insurance.py), its words
(words.py), its forms (forms.py): HTML (page.py, sections.py, insurers.py, moves.py, figures.py, charts.py, markup.py),
JSON (document.py), tables (table.py), OSCAL (oscal.py) and HDF (hdf.py). Nothing is decomposed or explained here a
second time: those figures come from observe/, and what to do next from advice/. Begin with values.py.
"""
