"""Where snapshots come from; one file a source."""
