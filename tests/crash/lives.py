"""Lives of `securescore run` that begin at once: one process imports everything, and forks a daemon when it is told.

A program: at a line on stdin a daemon begins, at the next it is killed (-9) and how it had ended is printed: -9, or the
exit code of one that ended by itself. What the daemons say goes to `lives.log` of the working folder.
"""

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


def prepare(package: ModuleType) -> None:
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(found.name)


def main() -> None:
    for name in ("signin", "net", "sources", "observe", "mapping", "formats", "deliver", "health", "stores"):
        wing = importlib.import_module(f"connector.{name}")
        for found in pkgutil.iter_modules(wing.__path__, f"connector.{name}."):
            if found.name not in ("connector.stores.blob", "connector.stores.kvstore"):
                importlib.import_module(found.name)
    prepare(sinks)
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
