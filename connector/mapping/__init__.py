"""Mappings at work: Event → Record, as the files in mappings/ say.

Here live finding and reading files (resources.py), judging and compiling YAML (compile.py), choosing between the two
forms (load.py), running a compiled mapping (render.py: as a function made for the event's type, generate.py and
search.py, or step by step, interpret.py, which is what a mapping means) and the functions a mapping may name
(formatters.py). No wire form lives here (formats/), and no receiver is known. Begin with render.py.
"""
