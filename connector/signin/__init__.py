"""Credentials in, fresh bearer tokens out.

Here live the tokens that the rest of the program asks for (tokens.py), the sign-in of applications (entra.py) and of
people (device_code.py) by MSAL and what both share (msal_calls.py), MSAL's way to the network (entra_http.py), what
refusals mean (refusals.py), what a token says of itself (claims.py), and keys that expire (credentials.py). Nothing
here knows what a token is used for. Begin with tokens.py.
"""
