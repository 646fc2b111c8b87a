"""The sign-in of a person by device code: once by hand (`securescore login`), then silently from a cache file.

The cache holds account and refresh token, mode 0600. One cache may serve many directories (GDAP): a refresh token is
not bound to one. Everything here blocks and runs in a worker thread.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from attrs import field, frozen

from connector.config import secrets
from connector.config.values import AuthConfig
from connector.durable import replacing
from connector.errors import ConfigError
from connector.foreign.links import web_address
from connector.signin import files
from connector.signin.entra_http import Bridge, login_http
from connector.signin.msal_calls import (
    CAPABILITIES,
    Target,
    Token,
    answer_without_secrets,
    msal_errors,
    msal_module,
    seconds,
    token_of,
)
from connector.signin.refusals import SignInRefused, refusal

MAX_CACHE_BYTES = 1024 * 1024
_LOGIN = "Sign in: securescore login -c CONFIG --tenant NAME"
_KEPT = ("Account", "RefreshToken", "AppMetadata")
"""Not the access tokens: those of thousands of directories would be written with every renewal."""


def renew(auth: AuthConfig, target: Target, http: Bridge, now: datetime, claims: str) -> Token:
    """A token from the refresh token of the cache, which is renewed with it.

    Raises SignInRefused (reason login_missing or login_lapsed: somebody must sign in), Denied, ConfigError or
    Unavailable.
    """
    file = Path(str(auth.options["cache"]))
    what = f"the sign-in cache {file}"
    before = files.in_time_here(what, str(file), lambda: _read(file, target))
    with msal_errors(target.what):
        cache = msal_module().SerializableTokenCache()
        cache.deserialize(before.decode("utf-8"))
        app = _application(auth, target, http, cache)
        accounts = app.get_accounts()
        if not accounts:
            raise _missing(target, f"{file} holds no account of this application and cloud")
        result = app.acquire_token_silent_with_error(
            [_scope(target)], accounts[0], force_refresh=True, claims_challenge=claims or None
        )
        if result is None:
            raise _missing(target, f"{file} holds no sign-in of this application")
        if "access_token" not in result:
            raise refusal(answer_without_secrets(result, _refresh_tokens(before)), what=target.what, delegated=True)
        token = token_of(result, now, target.what)
    files.in_time_here(what, str(file), lambda: _renewed(file, before, cache))
    return token


def _renewed(file: Path, before: bytes, cache: Any) -> None:
    """Replace the cache, unless somebody signed in meanwhile, or renewed for another directory: theirs is newer."""
    with _locked(file):
        if file.exists() and file.read_bytes() == before:
            _write(file, cache)


@frozen
class DeviceFlow:
    """A sign-in that waits for a person: open `url`, type `code` within `expires_s`; ask every `interval_s`."""

    url: str
    code: str
    interval_s: float
    expires_s: float
    state: Any = field(repr=False)


def begin(auth: AuthConfig, target: Target, http: Bridge) -> DeviceFlow:
    """Ask for a device code. Raises SignInRefused, Denied or Unavailable."""
    with msal_errors(target.what):
        app = _application(auth, target, http, msal_module().SerializableTokenCache())
        flow = app.initiate_device_flow([_scope(target)])
        url, code = flow.get("verification_uri"), flow.get("user_code")
        if not isinstance(url, str) or not web_address(url) or not isinstance(code, str) or not flow.get("device_code"):
            raise refusal(answer_without_secrets(flow, [str(flow.get("device_code"))]), what=target.what)
        flow["interval"] = min(max(seconds(flow["interval"]), 1), 60)  # with 0 MSAL would never pause
        expires_s = min(max(seconds(flow["expires_in"]), 60), 1800)
        return DeviceFlow(url, code, flow["interval"], expires_s, (app, flow))


def finish(flow: DeviceFlow, auth: AuthConfig, target: Target, now: datetime) -> Token | None:
    """Ask once whether the person has signed in; None while not. Then the cache is written anew.

    Raises SignInRefused (declined, too late, no consent), Denied, ConfigError or Unavailable.
    """
    app, state = flow.state
    with msal_errors(target.what):
        result = app.acquire_token_by_device_flow(state, exit_condition=lambda _: True)
        error = result.get("error")
        if error in ("authorization_pending", "slow_down"):
            return None
        if error in _NOT_DONE:
            raise SignInRefused(f"{target.what}: {_NOT_DONE[error]}", "Run securescore login again.", "login_declined")
        if "access_token" not in result:
            hide = [str(state.get("device_code"))]
            raise refusal(answer_without_secrets(result, hide), what=target.what)
        token = token_of(result, now, target.what)
    file = Path(str(auth.options["cache"]))
    files.in_time_here(f"the sign-in cache {file}", str(file), lambda: _signed_in(file, app.token_cache))
    return token


def _signed_in(file: Path, cache: Any) -> None:
    with _locked(file):
        _write(file, cache)


_NOT_DONE = {
    "expired_token": "nobody used the code in time",
    "code_expired": "nobody used the code in time",
    "authorization_declined": "the sign-in was declined",
    "access_denied": "the sign-in was declined",
}


def _application(auth: AuthConfig, target: Target, http: Bridge, cache: Any) -> Any:
    return msal_module().PublicClientApplication(
        str(auth.options["client_id"]),
        authority=target.authority,
        instance_discovery=False,
        client_capabilities=CAPABILITIES,
        token_cache=cache,
        http_client=login_http(http, target.cloud.login),
    )


def _scope(target: Target) -> str:
    return f"{target.audience}/{target.permission}"


def _missing(target: Target, why: str) -> SignInRefused:
    return SignInRefused(f"{target.what}: nobody has signed in ({why})", _LOGIN, "login_missing")


# --------------------------------------------------------------------------------------------------------------- cache


def _read(file: Path, target: Target) -> bytes:
    """The bytes of the cache, which are a JSON object."""
    if not file.exists():
        raise _missing(target, f"{file} does not exist")
    secrets.check_file(str(file), what="the sign-in cache")
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_CACHE_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"cannot read {file}: {error.strerror}"], "let this user read and write it") from None
    try:
        whole = len(data) <= MAX_CACHE_BYTES and isinstance(json.loads(data), dict)
    except (ValueError, RecursionError):
        whole = False
    if not whole:
        raise _missing(target, f"{file} is damaged")
    return data


def _refresh_tokens(data: bytes) -> list[str]:
    """What a far end may send back of a cache."""
    entries = json.loads(data).get("RefreshToken")
    kept = entries.values() if isinstance(entries, dict) else ()
    return [secret for entry in kept if isinstance(entry, dict) and isinstance(secret := entry.get("secret"), str)]


def _write(file: Path, cache: Any) -> None:
    kept = {name: part for name, part in json.loads(cache.serialize()).items() if name in _KEPT}
    try:
        with replacing(file) as stream:
            stream.write(json.dumps(kept).encode())
    except OSError as error:
        raise _unwritable(file, error) from None


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """One process and thread at a time looks at a cache and replaces it."""
    try:
        descriptor = os.open(file.with_name(f"{file.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _unwritable(file, error) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _unwritable(file: Path, error: OSError) -> ConfigError:
    return ConfigError(
        [f"cannot write {file}: {error.strerror}"], "choose a folder for auth.cache that this user may write"
    )
