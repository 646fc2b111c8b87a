"""Words of others, made harmless where they come in or go out: pure, and known to every other wing.

Here lives what no text may bring to a screen or a line (characters.py), which addresses are links (links.py), and the
secrets that a far end may send back to us (reflected.py). What a wire form escapes by its own rules is that form's
(formats/). Begin with characters.py.
"""
