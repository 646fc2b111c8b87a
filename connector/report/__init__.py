"""The posture report: what is known of a tenant, as HTML, JSON, tables, and files that compliance tools read.

Here live its values (values.py), how they come from stored days and events (build.py; brief.py for page one, matrix.py
for many tenants, insurance.py), its stable words (words.py) and its forms (forms.py): HTML (page.py and what it is made
of), JSON (document.py), tables (table.py), OSCAL (oscal.py) and HDF (hdf.py).

The HTML of a tenant is page one (front.py) and the sections that sections.py lists: moves.py, register.py,
references.py, insurers.py, cloud.py, annex.py; that of many is compare.py. They write through a pen (figures.py) in a
language, with causes (telling.py), drawings (charts.py), a logo (logo.py) and markup that cannot harm (markup.py).

Nothing is decomposed or explained here a second time: those figures come from observe/, and what to do next from
advice/. Begin with values.py.
"""
