"""Hosts that call the connector instead of running it: Azure Functions and Splunk.

Here live one tenant's turn (tenant_turn.py) and whether a sink is worth trying in it (circuit.py), the Functions app
(functions.py) and what Azure keeps for it (azure.py), what the add-on asks of splunkd (splunkd.py), which index its
searches read (index_macro.py), what an input's settings ask for once (input_requests.py), and whether an account would
work (try_account.py). Bindings and platforms' files are in packaging/; nothing is decided here about events. Begin with
tenant_turn.py.
"""
