"""Mappings are data: event fields to what each receiver calls them. No logic lives here."""
