"""The configuration: a plain dict → one frozen Config, with every problem reported at once.

Here live the values (values.py), the tables of keys (keys.py), the reader that checks a mapping against a table
(read.py), what the sections mean (parse.py), the front ends (yaml_file.py, environment.py, splunk_conf.py), a list of
tenants as CSV (tenants_csv.py), the schema
for editors (schema.py), references to secrets (secrets.py) the question whose a file is
(trust.py), and the account that a privileged command acts as (account.py). Nothing here
connects, and nothing is known of what the settings are used for. Begin with values.py, then parse.py.
"""
