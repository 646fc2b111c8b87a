"""Encoders from values to wire text: pure, no I/O."""
