"""References become secrets late, from safe places only, and never show in an error."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from connector.config import secrets
from connector.errors import ConfigError
from connector.options import Option

KEY_VAULT = "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/hunter2/)"


@pytest.fixture
def disk() -> Iterator[Path]:
    """A folder on disk; pytest's own may lie in memory, where open files are only warned about."""
    with TemporaryDirectory(dir="/var/tmp") as folder:
        if secrets._in_memory(folder):
            pytest.skip("/var/tmp is in memory here")
        yield Path(folder)


def write(file: Path, content: str | bytes, mode: int = 0o600) -> str:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    file.chmod(mode)
    return str(file)


def fault(reference: str, environ: dict[str, str] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        secrets.resolve(reference, environ=environ or {})
    assert "hunter2" not in str(caught.value) + caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        ("hunter2", "hunter2"),
        ("hunter2\n", "hunter2"),
        ("hunter2\r\n", "hunter2"),
        ("hunter2\n\n", "hunter2\n"),
        (" hunter2 ", " hunter2 "),
        ("pässwörd\n", "pässwörd"),
    ],
)
def test_one_trailing_newline_is_not_part_of_a_secret(disk: Path, content: str, secret: str) -> None:
    file = write(disk / "s", content)
    assert secrets.resolve(f"${{file:{file}}}", environ={}) == secret
    assert secrets.resolve("${credential:s}", environ={"CREDENTIALS_DIRECTORY": str(disk)}) == secret
    assert secrets.resolve("${env:S}", environ={"S": content}) == secret


def test_the_environment_of_the_process_is_used_unless_another_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S", "hunter2")
    assert secrets.resolve("${env:S}") == "hunter2"
    assert "not set" in fault("${env:S}").what


@pytest.mark.parametrize(
    ("reference", "environ", "words", "hint"),
    [
        ("${env:NOPE}", {}, "${env:NOPE}: the environment variable is not set", "set NOPE for this process"),
        ("${env:S}", {"S": ""}, "${env:S}: it is empty", "give S a value"),
        ("${env:S}", {"S": " \n"}, "${env:S}: it is empty", "give S a value"),
        ("${env:S}", {"S": KEY_VAULT}, "Key Vault reference that the platform did not resolve", ""),
        ("${credential:s}", {}, "$CREDENTIALS_DIRECTORY is not set", "add LoadCredential=s:"),
        ("${credential:s}", {"CREDENTIALS_DIRECTORY": "/nonexistent"}, "No such file", "create the file"),
        ("${file:/nonexistent/s}", {}, "cannot read /nonexistent/s: No such file or directory", "create the file"),
        ("${file:/}", {}, "takes an absolute path", ""),
        ("${file:/etc}", {}, "cannot read /etc: Is a directory", ""),
        ("${file:/dev/null}", {}, "/dev/null is not a file", ""),
        ("hunter2", {}, "a literal secret is refused", ""),
        (KEY_VAULT, {}, "name the app setting instead: ${env:NAME}", ""),
        ("${credential:../../etc/passwd}", {"CREDENTIALS_DIRECTORY": "/"}, "without a folder", ""),
        ("${credential:..}", {"CREDENTIALS_DIRECTORY": "/"}, "without a folder", ""),
    ],
)
def test_what_has_no_secret_behind_it(reference: str, environ: dict[str, str], words: str, hint: str) -> None:
    error = fault(reference, environ)
    assert words in error.problems[0]
    assert hint in error.hint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"\n", "it is empty"),
        (b"hunter2\xff", "is not UTF-8 text"),
        (b"hunter2" * 10_000, "is larger than 65536 bytes"),
        (KEY_VAULT.encode(), "Key Vault reference"),
    ],
)
def test_files_that_hold_no_secret(disk: Path, content: bytes, words: str) -> None:
    assert words in fault(f"${{file:{write(disk / 's', content)}}}").problems[0]


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644, 0o666])
def test_a_file_open_to_everyone_is_refused(disk: Path, mode: int) -> None:
    file = write(disk / "s", "hunter2", mode)
    error = fault(f"${{file:{file}}}")
    assert f"can be read or written by every user of this machine (mode {mode:04o})" in error.problems[0]
    assert error.hint == f"chmod 600 {file}"
    with pytest.raises(ConfigError, match="every user"):
        secrets.check_file(file)


def test_a_file_open_to_its_group_is_not(disk: Path) -> None:
    file = write(disk / "s", "hunter2", 0o640)
    assert secrets.resolve(f"${{file:{file}}}", environ={}) == "hunter2"
    secrets.check_file(file)


def test_in_memory_an_open_file_is_only_warned_about() -> None:
    """Containers mount secrets with mode 0444 into memory."""
    shm = Path("/dev/shm")
    if not shm.is_dir() or not secrets._in_memory("/dev/shm/x"):
        pytest.skip("/dev/shm is no tmpfs here")
    file = shm / f"securescore-test-{os.getpid()}"
    try:
        write(file, "hunter2", 0o444)
        heard: list[str] = []
        assert secrets.resolve(f"${{file:{file}}}", environ={}, warn=heard.append) == "hunter2"
        assert secrets.resolve(f"${{file:{file}}}", environ={}) == "hunter2"
        secrets.check_file(str(file), warn=heard.append)
        assert len(heard) == 2
        assert all("every user" in one and "hunter2" not in one for one in heard)
    finally:
        file.unlink(missing_ok=True)


def test_where_memory_is() -> None:
    assert secrets._in_memory("/run/secrets/hec")
    assert not secrets._in_memory("/etc/passwd")


def test_a_link_is_judged_by_what_it_leads_to(disk: Path) -> None:
    write(disk / "s", "hunter2", 0o644)
    (disk / "link").symlink_to(disk / "s")
    assert "every user" in fault(f"${{file:{disk / 'link'}}}").problems[0]


def test_a_missing_key_file_is_named() -> None:
    with pytest.raises(ConfigError, match="key_file: cannot read /nonexistent: No such file"):
        secrets.check_file("/nonexistent", what="key_file")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://proxy:3128", "http://proxy:3128"),
        ("http://u:${env:PW}@proxy:3128", "http://u:p%40ss%2F%3A%20x@proxy:3128"),
        ("${env:URL}", "http://a:b@proxy:1"),
    ],
)
def test_references_inside_a_url_are_encoded_whole_ones_are_not(text: str, url: str) -> None:
    assert secrets.resolve_url(text, environ={"PW": "p@ss/: x", "URL": "http://a:b@proxy:1"}) == url


def test_options_are_resolved_where_they_are_secret() -> None:
    table = {
        "host": Option("host"),
        "token": Option("secret"),
        "spare": Option("secret"),
        "url": Option("url", secret=True),
        "note": Option("str"),
    }
    options = {"host": "h", "token": "${env:T}", "spare": None, "url": "https://h/${env:P}", "note": "${env:T}"}
    found = secrets.resolve_options(options, table, environ={"T": "hunter2", "P": "a b"})
    assert found == {"host": "h", "token": "hunter2", "spare": None, "url": "https://h/a%20b", "note": "${env:T}"}
    assert options["token"] == "${env:T}"


def test_all_missing_secrets_are_named_at_once() -> None:
    table = {"a": Option("secret"), "b": Option("secret")}
    with pytest.raises(ConfigError) as caught:
        secrets.resolve_options({"a": "${env:A}", "b": "${env:B}"}, table, environ={})
    assert caught.value.problems == [
        "a: ${env:A}: the environment variable is not set",
        "b: ${env:B}: the environment variable is not set",
    ]
    assert caught.value.hint == "set A for this process"


def test_no_core_file_holds_a_secret(tmp_path: Path) -> None:
    """A watchdog's SIGABRT would write the whole memory, and with it every secret, into a file."""
    code = (
        "import ctypes, os, resource; from connector.config.secrets import keep_out_of_core_files as keep; keep(); "
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(4), flush=True); os.abort()"
    )
    done = subprocess.run(
        ["sh", "-c", f"ulimit -c unlimited; exec {sys.executable} -c '{code}'"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.stdout == "0 (0, 0)\n"
    assert list(tmp_path.iterdir()) == []
