"""The guards of tests/conftest.py do guard: a guard that never fires protects nothing."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("event", "args"),
    [
        ("socket.connect", (None, ("192.0.2.1", 9))),
        ("socket.connect", (None, ("2001:db8::1", 9, 0, 0))),
        ("socket.connect", (None, ("::ffff:192.0.2.1", 9, 0, 0))),
        ("socket.connect", (None, ("graph.example.org", 443))),
        ("socket.sendto", (None, ("192.0.2.1", 9))),
        ("socket.sendmsg", (None, ("192.0.2.1", 9))),
        ("socket.getaddrinfo", ("graph.example.org", 443, 0, 0, 0)),
        ("socket.getaddrinfo", (b"graph.example.org", 443, 0, 0, 0)),
        ("socket.gethostbyname", ("graph.example.org",)),
        ("socket.gethostbyaddr", ("192.0.2.1",)),
    ],
)
def test_no_other_machine_is_reached_or_looked_up(event: str, args: tuple[object, ...]) -> None:
    """The events that sockets raise, raised here without a socket: even a broken guard sends nothing."""
    with pytest.raises(pytest.fail.Exception, match="leave this machine"):
        sys.audit(event, *args)


def test_a_name_that_cannot_exist_fails_as_without_a_guard() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("siem.invalid", 443)


def test_loopback_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("localhost", port), timeout=5) as client:
            server.accept()[0].close()
            assert client.recv(1) == b""


TRY_MD5 = """
import hashlib, uuid
import tests.conftest
hashlib.sha256(b"x"), hashlib.new("sha256", b"x")
for use in ('hashlib.md5(b"x")', 'hashlib.new("MD5", b"x")', 'uuid.uuid3(uuid.NAMESPACE_DNS, "x")'):
    try:
        eval(use)
        print("worked")
    except ValueError:
        print("blocked")
"""


@pytest.mark.parametrize(("switch", "outcome"), [("1", "blocked"), ("0", "worked")])
def test_md5_is_blocked_on_request_only(switch: str, outcome: str) -> None:
    """In a process of its own: the block cannot be taken back."""
    env = {**os.environ, "SECURESCORE_BLOCK_MD5": switch}
    command = [sys.executable, "-c", TRY_MD5]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [outcome] * 3
