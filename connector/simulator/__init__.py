"""A simulated Graph with simulated tenants, and Azure beside it, for the demo, tests, benchmarks and training.

Here live the tenants and their days (world.py, tenants.py, histories.py, catalogue.py, texts.py), what Graph answers
(server.py, answers.py, bodies.py), what it does of its own accord (habits.py), what can go wrong (faults.py), the
subscriptions of a tenant (estate.py) behind Resource Graph (resource_graph.py), Defender for Endpoint (endpoint.py),
and a simulated sign-in host (authority.py). It is meant to be no kinder than the real service: facts.py lists what is
known of that one and how it is played here, and `securescore simulate --facts` prints the list.

No product code may depend on it but the commands `demo` and `simulate`; of the engine it is there to try it knows clock
and ports only. Begin with world.py, then server.py.
"""
