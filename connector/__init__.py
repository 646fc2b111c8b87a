"""Secure Score Connector: the engine. It knows sinks only by the names in registry.py."""

__version__ = "0.1.0"
