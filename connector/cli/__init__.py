"""The command line: one module a command, and the only prose written for people."""
