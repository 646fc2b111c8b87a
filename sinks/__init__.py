"""Sinks: one file each; a sink imports model, errors, ports, http, auth and formats only."""
