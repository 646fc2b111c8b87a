"""Plug-ins: sinks, sources and mappings that installed packages bring.

Here they are found, loaded and judged (installed.py), and what they build is kept from harming others (guards.py).
Nothing is said of what a sink or a source does, and nothing that ships passes here. Begin with installed.py.
"""
