"""Sinks: one file each; a sink imports model, errors, ports, options, clock, net, formats and signin.tokens only."""
