"""Words of others, made harmless where they come in or go out: pure, and known to every other wing.

Here lives what no text may bring to a screen or a line (characters.py), and which addresses are links (links.py). What
a wire form escapes by its own rules is that form's (formats/). Begin with characters.py.
"""
