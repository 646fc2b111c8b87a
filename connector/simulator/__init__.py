"""A simulated Graph with simulated tenants, for the demo, tests, benchmarks and training."""
