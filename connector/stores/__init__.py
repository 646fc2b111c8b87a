"""Durable homes of state, events and settlement; one contract suite for all."""
