"""Lives of `securescore run` that begin at once: one process imports everything, and forks a daemon when it is told.

A program: at a line on stdin a daemon begins, at the next it is killed (-9) and how it had ended is printed: -9, or the
exit code of one that ended by itself. What the daemons say goes to `lives.log` of the working folder.
"""

import functools
import gc
import importlib
import os
import pkgutil
import signal
import sys
import traceback
from types import ModuleType

import connector.cli.run  # noqa: F401 - what a daemon imports when it begins is there already
import sinks
from connector.cli.main import main as securescore
from connector.deliver import prepare
from connector.mapping.load import load_mapping
from connector.observe import frameworks


def bring(package: ModuleType) -> None:
    """Import all of a package, but for what needs libraries of another home."""
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if found.name not in ("connector.stores.blob", "connector.stores.kvstore"):
            importlib.import_module(found.name)


def read_ahead() -> None:
    """What every start reads from the package's YAML, and what takes most of it: it never differs."""
    frameworks.shipped()
    read = functools.cache(load_mapping)
    setattr(prepare, "load_mapping", lambda name, _base="": read(name))  # noqa: B010 - mypy would have it exported
    for name in ("cloudevents", "cef", "splunk"):
        read(name)


def main() -> None:
    for name in ("signin", "net", "sources", "observe", "mapping", "formats", "deliver", "health", "stores"):
        bring(importlib.import_module(f"connector.{name}"))
    bring(sinks)
    read_ahead()
    gc.freeze()
    log = os.open("lives.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    while sys.stdin.readline():
        daemon = os.fork()
        if daemon == 0:
            os.dup2(log, 2)
            os.dup2(os.open(os.devnull, os.O_RDWR), 0)
            os.dup2(0, 1)
            code = 70
            try:
                code = securescore(["run"])
            finally:
                traceback.print_exc()
                os._exit(code)
        sys.stdin.readline()
        os.kill(daemon, signal.SIGKILL)  # one that has ended already is still there until it is waited for
        _, status = os.waitpid(daemon, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
