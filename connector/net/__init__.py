"""The one way out: every connection of the connector goes through here, with its TLS, proxy and limits.

Here live what callers know of HTTP (http.py), the way from settings to a client (connect.py), the client itself
(client.py), the Microsoft clouds with their hosts (clouds.py), and a blocking connection for receivers that speak
something else (stream.py). No retries, no tokens and no meaning of a body live here. Begin with http.py.
"""
