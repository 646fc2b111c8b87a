"""The posture report."""
