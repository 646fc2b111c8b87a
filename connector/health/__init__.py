"""How the connector is doing, and who is told: operators, monitoring, the service manager.

Here live counters (counters.py), the heartbeat (heartbeat.py), the document behind `status` (overview.py), the HTTP
endpoints and their port (endpoints.py, listener.py), what the connector notices about itself (upkeep.py), log lines
(logs.py) and sd_notify (systemd.py). Nothing here polls, sends or decides about a tenant's events. Begin with
overview.py.
"""
