"""MSAL, held at arm's length: one credential of the configuration in, one fresh token or one of our errors out.

Everything here blocks and runs in a worker thread. No cache of tokens and no waiting: tokens.py has both. No sign-in of
users: that is device_code.py.
"""

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import field, frozen

from connector.config import secrets
from connector.config.values import AuthConfig
from connector.errors import ConfigError, SecureScoreError, Unavailable
from connector.signin import files
from connector.signin.credentials import KeyPair, load_key_pair
from connector.signin.entra_http import Bridge, asked, identity_http, login_http
from connector.signin.msal_calls import (
    CAPABILITIES,
    Target,
    Token,
    answer_without_secrets,
    msal_errors,
    msal_module,
    token_of,
)
from connector.signin.refusals import SignInRefused, refusal, said


class Apps:
    """MSAL applications (12.6 KB each), the least recently used forgotten beyond `limit`. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._apps: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, build: Callable[[], Any]) -> Any:
        """The application of a key; built outside the lock, because building asks the sign-in host."""
        with self._lock:
            if key in self._apps:
                self._apps.move_to_end(key)
                return self._apps[key]
        app = build()
        with self._lock:
            self._apps[key] = app
            while len(self._apps) > self._limit:
                self._apps.popitem(last=False)
        return app

    def forget(self, key: Hashable) -> None:
        with self._lock:
            self._apps.pop(key, None)

    def __len__(self) -> int:
        return len(self._apps)


def acquire(
    auth: AuthConfig, target: Target, *, http: Bridge, direct: Bridge, apps: Apps, now: datetime, claims: str = ""
) -> Token:
    """A new token, never one from a cache. `direct` reaches identity endpoints, before which no proxy may stand.

    `claims` is the challenge of a resource that refused the last token. Raises SignInRefused, Denied, ConfigError or
    Unavailable.
    """
    if auth.kind == "managed_identity":
        return _managed(auth.options.get("client_id"), target.audience, direct, now, claims)
    if auth.kind == "device_code":
        from connector.signin.device_code import renew  # noqa: PLC0415 - needs file locks, which not every platform has

        return renew(auth, target, http, now, claims)
    secret = _secret_of(auth, target, direct, now)
    client_id = str(auth.options["client_id"])
    with msal_errors(target.what, secret.hide):
        key = (target.authority, client_id, secret.fingerprint, http)  # each goes its own way: it keeps that for life
        app = apps.get(
            key,
            lambda: msal_module().ConfidentialClientApplication(
                client_id,
                client_credential=secret.credential,
                authority=target.authority,
                instance_discovery=False,
                azure_region=False,
                client_capabilities=CAPABILITIES,
                http_client=login_http(http, target.cloud.login),
            ),
        )
        asked.set(True)  # whoever built it has asked: what fails from here on is no fault of the configuration
        try:
            app.remove_tokens_for_client()
            result = app.acquire_token_for_client([f"{target.audience}/.default"], claims_challenge=claims or None)
            if "access_token" in result:
                return token_of(result, now, target.what)
        except Exception:
            apps.forget(key)  # MSAL keeps what it was answered, unchecked, and would stumble over it for ever
            raise
        raise _refusal(result, target, secret, now)


def _refusal(result: Mapping[str, Any], target: Target, secret: "_Secret", now: datetime) -> SecureScoreError:
    """Entra calls an expired certificate unknown; we have it and know better."""
    error = refusal(answer_without_secrets(result, secret.hide), what=target.what)
    if isinstance(error, SignInRefused) and secret.not_after is not None and secret.not_after <= now:
        return SignInRefused(
            f"{target.what}: the certificate expired on {secret.not_after:%Y-%m-%d}",
            "Renew the certificate and upload its public part to the app registration.",
            "secret_expired",
        )
    return error


# ------------------------------------------------------------------------------------------------------------ secrets


@frozen
class _Secret:
    """What an MSAL application is built with. `fingerprint` changes when the secret does, so a new one is used."""

    credential: Any = field(repr=False)
    fingerprint: str
    not_after: datetime | None = None

    @property
    def hide(self) -> Sequence[str]:
        return [self.credential] if isinstance(self.credential, str) else []


def _secret_of(auth: AuthConfig, target: Target, direct: Bridge, now: datetime) -> _Secret:
    """The secret as it is now: read anew, so that a renewed one is used without a restart.

    Raises ConfigError, and Unavailable for a file that does not answer.
    """
    if auth.kind == "client_secret":
        reference = str(auth.options["client_secret"])
        value = files.in_time_here(reference, reference, lambda: secrets.resolve(reference))
        return _Secret(value, hashlib.sha256(value.encode()).hexdigest())
    if auth.kind == "certificate":
        file = str(auth.options["file"])
        pair = files.in_time_here(f"the key file {file}", file, lambda: _key_pair(file, auth.options.get("password")))
        return _Secret(
            {"private_key": pair.private_key, "public_certificate": pair.certificate}, pair.fingerprint, pair.not_after
        )
    identity = auth.options.get("managed_identity")
    if identity is not None:
        # MSAL keeps the function, so it must not keep today's time with it: the token is used at once, its age is not.
        def exchange() -> str:
            client_id = None if identity == "system" else identity
            return _managed(client_id, target.cloud.exchange, direct, now, "").value

        return _Secret({"client_assertion": exchange}, f"managed:{identity}")
    file = str(auth.options["token_file"])
    what = f"the federated token {file}"
    return _Secret(
        {"client_assertion": lambda: files.in_time_here(what, file, lambda: _federated_token(file))}, f"file:{file}"
    )


def _key_pair(file: str, password: Any) -> KeyPair:
    return load_key_pair(file, secrets.resolve(str(password)) if password else None)


def _federated_token(file: str) -> str:
    token = secrets.read_file(file, what="the federated token").strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            [f"the federated token: {file} does not hold one bare token on one line"],
            "name the file in which the platform keeps the workload identity token",
        )
    return token


# --------------------------------------------------------------------------------------------------- managed identity

_NO_IDENTITY = (
    "Machines and apps in Azure, or connected by Azure Arc, can have one: assign it there (and see that the identity "
    "agent runs). Elsewhere use another kind of auth."
)


def _managed(client_id: object, audience: str, direct: Bridge, now: datetime, claims: str) -> Token:
    """A token of this machine's managed identity; MSAL tells App Service, Azure Arc and virtual machines apart."""
    what = f"the managed identity ({client_id or 'system-assigned'})"
    hide = [os.environ.get("IDENTITY_HEADER", "")]  # what App Service has every request carry
    try:
        with msal_errors(what, hide):
            msal = msal_module()
            identity = (
                msal.UserAssignedManagedIdentity(client_id=str(client_id))
                if client_id
                else msal.SystemAssignedManagedIdentity()
            )
            app = msal.ManagedIdentityClient(identity, http_client=identity_http(direct))
            result = app.acquire_token_for_client(resource=audience, claims_challenge=claims or None)
            if "access_token" not in result:
                raise SignInRefused(
                    f"{what} was given no token for {audience}{said(answer_without_secrets(result, hide))}",
                    _NO_IDENTITY,
                    "identity_refused",
                )
            return token_of(result, now, what)
    except OSError as error:  # Azure Arc keeps a key in a file for group himds
        hint = f"{_NO_IDENTITY} With Azure Arc the connector's user must be in the group himds."
        raise Unavailable(f"{what}: cannot read {error.filename}: {error.strerror}", hint=hint) from None
    except Unavailable as error:
        raise Unavailable(f"{what}: {error.what}", error.retry_after_s, _NO_IDENTITY) from None
    except ConfigError as error:  # the machine says that it is in Azure Arc, and lacks what belongs to that
        raise ConfigError(error.problems, _NO_IDENTITY) from None
