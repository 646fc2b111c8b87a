"""Secure Score Connector: the engine. It knows sinks only through the registry in app.py."""

__version__ = "0.1.0"
