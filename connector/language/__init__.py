"""What people read in their own language: texts as data, one JSON file a language; numbers and days as CLDR has them.

Here live which language is meant (choice.py), its texts and its way to write numbers, days and lists (spoken.py), the
engine's own sentences told again (retold.py), the one place that asks Babel (cldr.py), and the texts: en.json
is the original, and every other file has its keys, its placeholders, and the plural forms of its own language. No HTML,
no layout and no terminal live here, and nothing that a program reads: keys of JSON and columns of CSV are the same in
every language. Begin with spoken.py.
"""
