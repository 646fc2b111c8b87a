"""References to secrets: how they are written, and how one becomes text at the last moment.

The configuration holds references only. Nothing here logs or prints a secret, or keeps one but for `hold`; errors name
the reference. Literal secrets have no place anywhere. Grammar: `${env:NAME}`, `${file:/absolute/path}`,
`${credential:name}`; the last is a file in $CREDENTIALS_DIRECTORY (systemd.exec(5), LoadCredential).
"""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from connector.config.belonging import remedy
from connector.errors import ConfigError
from connector.options import Option

MAX_BYTES = 64 * 1024
KEY_VAULT = "@Microsoft.KeyVault("
KEY_VAULT_REASON = (
    "is a Key Vault reference that the platform did not resolve: its literal text would be used as the secret. "
    "Check that the app's identity has the role Key Vault Secrets User and that the vault can be reached"
)
REMEDY = "keep the value elsewhere and write ${env:NAME}, ${file:/path} or ${credential:name}"

_ANY = re.compile(r"\$\{([a-z]*):([^{}]*)\}")
_NAMES = {
    "env": re.compile(r"[A-Za-z_][A-Za-z0-9_]*"),
    "file": re.compile(r"/[^\x00-\x1f]+"),
    "credential": re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*"),
}
_WANTED = {
    "env": "the name of an environment variable",
    "file": "an absolute path",
    "credential": "the name of a credential, without a folder",
}


def reference_problem(text: object) -> str | None:
    """Why this is not one well-formed reference, ending in the remedy; None when it is. Never quotes the text."""
    if not isinstance(text, str):
        return f"a literal secret is refused: {REMEDY}"
    if text.lstrip().startswith(KEY_VAULT):
        return f"{KEY_VAULT_REASON}; name the app setting instead: ${{env:NAME}}"
    match = _ANY.fullmatch(text)
    return _grammar_problem(match) if match else f"a literal secret is refused: {REMEDY}"


def embedded_problem(text: str) -> str | None:
    """Why the references inside this text are not well-formed; None when all are, or when there is none."""
    if text.lstrip().startswith(KEY_VAULT):
        return KEY_VAULT_REASON
    if problem := _near_miss(text):
        return problem
    return next((problem for match in _ANY.finditer(text) if (problem := _grammar_problem(match))), None)


def _near_miss(text: str) -> str | None:
    """What to write instead of a `${` that begins no reference; such a text was never meant as it stands."""
    rest = without_references(text)
    at = rest.find("${")
    if at < 0:
        return None
    name = re.match(r"\$\{\s*(?:env\s*:)?\s*([A-Za-z_][A-Za-z0-9_]{0,63})\s*\}", rest[at:], re.IGNORECASE)
    return f"${{ begins no reference here: write ${{env:{name[1] if name else 'NAME'}}}"


def without_references(text: str) -> str:
    """The text with every reference replaced by a harmless letter, to check the shape of what stands around them."""
    return _ANY.sub("x", text)


def has_reference(text: str) -> bool:
    return _ANY.search(text) is not None


def expand_environment(text: str, environ: Mapping[str, str]) -> str:
    """The text with `${env:NAME}` replaced: for values that are no secrets.

    Raises ValueError for an unset variable, another kind of reference, a `${` that begins none, or a Key Vault
    reference nobody resolved.
    """
    if problem := _near_miss(text):
        raise ValueError(problem)

    def value(match: re.Match[str]) -> str:
        if match[1] != "env":
            raise ValueError("only ${env:NAME} can stand here: the value is not a secret")
        if problem := _grammar_problem(match):
            raise ValueError(problem)
        if match[2] not in environ:
            raise ValueError(f"the environment variable {match[2]} is not set")
        return environ[match[2]]

    expanded = _ANY.sub(value, text)
    if expanded.lstrip().startswith(KEY_VAULT):
        raise ValueError(KEY_VAULT_REASON)
    return expanded


def resolve(
    reference: str, *, environ: Mapping[str, str] | None = None, warn: Callable[[str], None] | None = None
) -> str:
    """The secret behind one reference, without one trailing newline. Reads the environment or a file, every time.

    `warn` hears about a world-readable file where that is only unwise (tmpfs, /run/secrets).
    Raises ConfigError when it is missing, empty, unreadable, world-readable on disk, or no reference at all.
    """
    if problem := reference_problem(reference):
        raise ConfigError([problem])
    match = _ANY.fullmatch(reference)
    assert match is not None
    kind, name = match.groups()
    if environ is None:
        if (held := _held.get(reference)) is not None:
            if isinstance(held, ConfigError):
                raise held
            return held
        environ = os.environ
    if kind == "env":
        return _from_environment(reference, name, environ)
    if kind == "credential":
        folder = environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise ConfigError(
                [f"{reference}: $CREDENTIALS_DIRECTORY is not set, so there are no credentials"],
                f"add LoadCredential={name}:/path/of/the/file to the unit, or use ${{file:/path}} outside systemd",
            )
        return read_file(str(Path(folder, name)), what=reference, warn=warn)
    return read_file(name, what=reference, warn=warn)


_held: dict[str, str | ConfigError] = {}


def hold(texts: Iterable[str]) -> None:
    """Read every reference in these texts now, and keep what came of it: for a process that is about to become an
    account which may not read them. Nothing else keeps a secret.
    """
    for reference in {match[0] for text in texts for match in _ANY.finditer(text)}:
        try:
            _held[reference] = resolve(reference)
        except ConfigError as error:
            _held[reference] = error


def resolve_url(
    text: str, *, environ: Mapping[str, str] | None = None, warn: Callable[[str], None] | None = None
) -> str:
    """A proxy or secret URL with its references resolved.

    A reference that is the whole value gives the whole URL; one inside (user, password) is percent-encoded.
    Raises ConfigError as `resolve` does.
    """
    if _ANY.fullmatch(text):
        return resolve(text, environ=environ, warn=warn)
    return _ANY.sub(lambda match: quote(resolve(match[0], environ=environ, warn=warn), safe=""), text)


def resolve_options(
    options: Mapping[str, Any],
    table: Mapping[str, Option],
    *,
    environ: Mapping[str, str] | None = None,
    warn: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """The options with every secret of the table resolved, the rest as it was; for whoever builds a sink.

    Raises one ConfigError that names all secrets that cannot be had.
    """
    resolved, problems, hint = dict(options), [], ""
    for name, option in table.items():
        value = options.get(name)
        if not isinstance(value, str) or not (option.secret or option.type in ("secret", "proxy")):
            continue
        get = resolve if option.type == "secret" else resolve_url
        try:
            resolved[name] = get(value, environ=environ, warn=warn)
        except ConfigError as error:
            problems += [f"{name}: {problem}" for problem in error.problems]
            hint = hint or error.hint
    if problems:
        raise ConfigError(problems, hint)
    return resolved


def read_file(path: str, *, what: str = "", warn: Callable[[str], None] | None = None) -> str:
    """The text of a secret file (UTF-8, at most 64 KiB), without one trailing newline.

    The mode is judged on the opened file, so that no swap goes unseen. `what` names it in errors (default: the path).
    Raises ConfigError.
    """
    what = what or path
    try:
        # A pipe must not make us wait for a writer.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as stream:
            _check_mode(os.fstat(stream.fileno()), path, what, warn)
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, what, error) from error
    if len(data) > MAX_BYTES:
        raise ConfigError([f"{what}: {path} is larger than {MAX_BYTES} bytes, which no secret is"])
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError([f"{what}: {path} is not UTF-8 text"]) from error
    return _usable(text, what, f"put the secret into {path}")


def check_file(path: str, *, what: str = "", warn: Callable[[str], None] | None = None) -> None:
    """Raise ConfigError when a file with a secret in it (a private key, a token) is missing or world-readable."""
    what = what or path
    try:
        status = Path(path).stat()
    except OSError as error:
        raise _unreadable(path, what, error) from error
    _check_mode(status, path, what, warn)


def _unreadable(path: str, what: str, error: OSError) -> ConfigError:
    hint = (error.errno == errno.EACCES and remedy(path)) or "create the file, or let this user read it"
    return ConfigError([f"{what}: cannot read {path}: {error.strerror}"], hint)


def _grammar_problem(match: re.Match[str]) -> str | None:
    kind, name = match.groups()
    if kind not in _NAMES:
        return "a reference begins with ${env:, ${file: or ${credential:"
    return None if _NAMES[kind].fullmatch(name) else f"${{{kind}:…}} takes {_WANTED[kind]}"


def _from_environment(reference: str, name: str, environ: Mapping[str, str]) -> str:
    if name not in environ:
        raise ConfigError([f"{reference}: the environment variable is not set"], f"set {name} for this process")
    return _usable(environ[name], reference, f"give {name} a value")


def _usable(text: str, what: str, hint: str) -> str:
    if text.endswith("\n"):
        text = text[:-1].removesuffix("\r")
    if not text.strip():
        raise ConfigError([f"{what}: it is empty"], hint)
    if text.lstrip().startswith(KEY_VAULT):
        # Azure hands the app this literal text when it cannot reach the vault; as a secret it would only be "denied".
        raise ConfigError([f"{what}: {KEY_VAULT_REASON}"])
    return text


def _check_mode(status: os.stat_result, path: str, what: str, warn: Callable[[str], None] | None) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError([f"{what}: {path} is not a file"])
    if not status.st_mode & (stat.S_IROTH | stat.S_IWOTH):
        return
    problem = f"{what}: {path} can be read or written by every user of this machine (mode {status.st_mode & 0o777:04o})"
    if not _in_memory(os.path.realpath(path)):
        raise ConfigError([problem], f"chmod 600 {path}")
    # Container platforms mount secrets with mode 0444 or 0644 into memory; only this container's users see them.
    if warn is not None:
        warn(problem)


def _in_memory(path: str) -> bool:
    """True under /run/secrets and on tmpfs or ramfs; proc(5) describes mountinfo: field 5 is the mount point."""
    if path.startswith("/run/secrets/"):
        return True
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return False
    best, kind = "", ""
    for line in lines:
        before, _, after = line.partition(" - ")
        point = before.split(" ")[4].replace("\\040", " ")
        if len(point) >= len(best) and (path == point or path.startswith(point.rstrip("/") + "/")):
            best, kind = point, after.split(" ", 1)[0]
    return kind in ("tmpfs", "ramfs")


_PR_SET_DUMPABLE = 4


def keep_out_of_core_files() -> None:
    """No core file of this process, whatever the machine's settings: it would hold every secret that was resolved.

    Best effort, for platforms differ. The limit holds for plain files; a handler to which cores are piped, such as
    systemd-coredump, gets none of a process that is not dumpable (core(5), prctl(2)).
    """
    with contextlib.suppress(ImportError, OSError, ValueError, AttributeError, MemoryError):
        import ctypes  # noqa: PLC0415 - not every command needs it, and not every platform has it

        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - POSIX only

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
