"""A simulated Graph with simulated tenants, for the demo, tests, benchmarks and training.

Here live the tenants and their days (world.py, tenants.py, catalogue.py, texts.py), what Graph answers (server.py,
answers.py, bodies.py), what can go wrong (faults.py) and a simulated sign-in host (authority.py). No product code may
depend on it but the commands `demo` and `simulate`. Begin with world.py, then server.py.
"""
