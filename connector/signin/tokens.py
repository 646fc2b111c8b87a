"""Where bearer tokens come from, as the rest of the program sees it. A token never reaches a log, an error or a repr.

A `SignIn` is the one of an application: it gives each credential and directory one provider, which holds its token,
renews it single-flight and off the event loop, and lets the far end's wish to wait stand. How a token is had is in
entra.py; who uses it is nobody's business here.
"""

import asyncio
import base64
import binascii
import json
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from attrs import evolve

from connector.clock import SystemClock, Threads
from connector.config.secrets import check_file, resolve_url
from connector.config.values import AuthConfig, NetworkConfig
from connector.errors import Denied, SecureScoreError, Unavailable
from connector.net.clouds import Cloud
from connector.net.connect import open_client
from connector.net.http import Transport, Wire
from connector.ports import Clock
from connector.signin import files
from connector.signin.entra import Apps, acquire
from connector.signin.entra_http import Bridge
from connector.signin.msal_calls import Target, Token
from connector.signin.refusals import SignInRefused

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, AccessTokenInfo

    from connector.signin.device_code import DeviceFlow

_T = TypeVar("_T")

MAX_TOKEN_BYTES = 65_536
MARGIN = timedelta(minutes=5)
"""A token this close to its end counts as expired: a long poll must be able to finish with it. One of a short life does
in its second half."""
REFUSED_S = 60.0
"""How long a refusal stands without asking again; MSAL replays one for as long."""
REFRESH_AGAIN = timedelta(minutes=5)
"""When an early renewal failed, the old token serves on, and this much later it is tried again."""
FILE_TRUSTED = timedelta(minutes=10)
"""How long a token file's content is taken for valid where times are asked for: they are not known."""
MAX_APPS = 256
MAX_PROVIDERS = 20_000
THREADS = 8
"""Sign-ins at once at one host. A host that hangs must not keep those of another cloud waiting."""
SIGN_IN_LIMIT_S = 120.0
"""How long one sign-in may take; each of its requests has the time limit of the network."""


class TokenProvider(Protocol):
    """Gives a bearer token that is valid now."""

    async def token(self, *, refused: str = "", claims: str = "") -> str:
        """The token, never the one that was `refused`; `claims` is the challenge that it met.

        Raises Denied, ConfigError or Unavailable.
        """
        ...


def claims_challenge(headers: Mapping[str, str]) -> str:
    """The claims that a 401 asks for (RFC 9470 style `WWW-Authenticate: Bearer … claims="base64"`), as JSON; or ""."""
    found = re.search(r'\bclaims="([A-Za-z0-9+/_=-]{2,16384})"', headers.get("www-authenticate", "")[:32_768])
    if not found:
        return ""
    text = found[1].replace("-", "+").replace("_", "/")
    try:
        claims = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return ""
    return json.dumps(claims) if isinstance(claims, dict) else ""


# -------------------------------------------------------------------------------------------------------- token file


class FileToken:
    """A token that something outside (a broker, a sidecar) keeps fresh in a file; it is read again for every use."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    async def token(self, *, refused: str = "", claims: str = "") -> str:  # noqa: ARG002  (every read is fresh)
        """The token in the file.

        Raises Denied when the file is unreadable, empty or not one bare token, ConfigError when everybody reads it,
        Unavailable when it does not answer.
        """
        return await files.in_time(f"the token file {self._path}", str(self._path), self._read)

    def _read(self) -> str:
        try:
            with self._path.open("rb") as file:
                check_file(str(self._path), what="the token file")
                raw = file.read(MAX_TOKEN_BYTES + 1)
        except OSError as error:
            raise Denied(
                f"the token file {self._path} cannot be read: {error.strerror}",
                "Correct auth.file, or let the token's supplier write it where this user may read it.",
            ) from None
        if len(raw) > MAX_TOKEN_BYTES:
            raise Denied(f"the token file {self._path} is larger than {MAX_TOKEN_BYTES} bytes", _HOW_TO_WRITE)
        token = raw.strip()
        if not token:
            raise Denied(f"the token file {self._path} is empty", _HOW_TO_WRITE)
        # Anything but visible ASCII could end the Authorization header and begin another.
        if not all(0x21 <= byte <= 0x7E for byte in token):
            raise Denied(f"the token file {self._path} does not hold one bare token on one line", _HOW_TO_WRITE)
        return token.decode("ascii")


_HOW_TO_WRITE = 'Write the access token alone into the file: one line, without the word "Bearer".'


# ------------------------------------------------------------------------------------------------------- held tokens


class HeldToken:
    """One credential's token for one target: held, renewed single-flight, early where the issuer wishes it.

    `fetch` gets a new one, given a claims challenge or "".
    """

    def __init__(self, fetch: Callable[[str], Awaitable[Token]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = asyncio.Lock()
        self._held: Token | None = None
        self._claims = ""  # the challenge that the held token answers
        self._margin = MARGIN
        self._refused: SecureScoreError | None = None
        self._ask_again_at: datetime | None = None

    async def token(self, *, refused: str = "", claims: str = "") -> str:
        """See TokenProvider."""
        return (await self.get(refused=refused, claims=claims)).value

    async def get(self, *, refused: str = "", claims: str = "") -> Token:
        """The token with its times. Of many callers at once, one asks and all get the same answer.

        Many may have been refused with one token, one after another: only the first of them makes a new one necessary.
        """
        if self._held is not None and self._held.value == refused:
            self._held = None
        held = self._usable(claims)
        if held is not None and (self._lock.locked() or not self._ripe(held)):
            return held  # also while somebody renews it before its time
        async with self._lock:
            held = self._usable(claims)
            if held is not None and not self._ripe(held):
                return held
            now = self._clock.now()
            if held is None:
                self._raise_standing_refusal(now)
            try:
                fetched = await self._fetch(claims)
            except SecureScoreError as error:
                if held is not None:
                    self._held = evolve(held, refresh_at=now + REFRESH_AGAIN)
                    return self._held
                self._remember(error, now)
                raise
            self._held, self._claims, self._refused = fetched, claims, None
            self._margin = min(MARGIN, (fetched.expires_at - now) / 2)
            return fetched

    def _usable(self, claims: str) -> Token | None:
        """The held token, where it is of use to somebody who met this challenge."""
        held = self._held
        if held is None or (claims and claims != self._claims):
            return None
        return held if held.expires_at - self._clock.now() > self._margin else None

    def _ripe(self, held: Token) -> bool:
        """Whether its issuer would like it renewed."""
        return held.refresh_at is not None and self._clock.now() >= held.refresh_at

    def _remember(self, error: SecureScoreError, now: datetime) -> None:
        wish_s = error.retry_after_s if isinstance(error, Unavailable) else REFUSED_S
        self._refused = error if wish_s else None
        self._ask_again_at = now + timedelta(seconds=wish_s or 0)

    def _raise_standing_refusal(self, now: datetime) -> None:
        error, until = self._refused, self._ask_again_at
        if error is None or until is None or now >= until:
            return
        if isinstance(error, Unavailable):
            raise Unavailable(error.what, (until - now).total_seconds(), error.hint)
        if isinstance(error, SignInRefused):
            raise SignInRefused(error.what, error.hint, error.reason)
        if isinstance(error, Denied):
            raise Denied(error.what, error.hint)
        # A ConfigError concerns files and variables of this machine: looking again costs nobody anything.


# ------------------------------------------------------------------------------------------------------------ sign-in


class SignIn:
    """Everything an application needs to sign in; close it after its users and before its transports.

    `transport` gives the transport of a network setting.
    """

    def __init__(self, clock: Clock, transport: Callable[[NetworkConfig], Transport], max_apps: int = MAX_APPS) -> None:
        self._clock = clock
        self._transport = transport
        self._apps = Apps(max_apps)
        self._threads: dict[str, Threads] = {}
        self._bridges: dict[NetworkConfig, Bridge] = {}
        self._providers: OrderedDict[tuple[Any, ...], HeldToken] = OrderedDict()

    def provider(self, auth: AuthConfig, target: Target, network: NetworkConfig) -> TokenProvider:
        """Where the tokens of this credential for this target come from; the same one for the same question."""
        if auth.kind == "token":
            return FileToken(str(auth.options["file"]))
        return self.held(auth, target, network)

    def held(self, auth: AuthConfig, target: Target, network: NetworkConfig) -> HeldToken:
        """As `provider`, with the token's times."""
        key = (auth.kind, tuple(sorted(auth.options.items())), target, network)
        if key in self._providers:
            self._providers.move_to_end(key)
            return self._providers[key]

        async def fetch(claims: str) -> Token:
            now = self._clock.now()
            if auth.kind == "token":
                return Token(await FileToken(str(auth.options["file"])).token(), now + FILE_TRUSTED)
            http, direct = self._bridge(network), self._bridge(_direct(network))
            return await self._in_thread(
                lambda: acquire(auth, target, http=http, direct=direct, apps=self._apps, now=now, claims=claims),
                target,
                key,
            )

        provider = self._providers[key] = HeldToken(fetch, self._clock)
        while len(self._providers) > MAX_PROVIDERS:
            self._providers.popitem(last=False)
        return provider

    async def begin_login(self, auth: AuthConfig, target: Target, network: NetworkConfig) -> "DeviceFlow":
        """Start a person's sign-in by device code. Raises Denied or Unavailable."""
        from connector.signin.device_code import begin  # noqa: PLC0415 - only `login` needs it

        bridge = self._bridge(network)
        return await self._in_thread(lambda: begin(auth, target, bridge), target)

    async def finish_login(self, flow: "DeviceFlow", auth: AuthConfig, target: Target) -> Token | None:
        """Whether the person has signed in: the token, after the cache was written; None while not. Raises Denied."""
        from connector.signin.device_code import finish  # noqa: PLC0415

        now = self._clock.now()
        return await self._in_thread(lambda: finish(flow, auth, target, now), target)

    async def close(self) -> None:
        """Give up sign-ins under way; their threads end with them."""
        for bridge in self._bridges.values():
            bridge.cancel()

    async def _in_thread(self, work: Callable[[], _T], target: Target, key: Hashable = None) -> _T:
        threads = self._threads.setdefault(target.cloud.login, Threads("sign-in", THREADS))
        try:
            return await threads.run(work, SIGN_IN_LIMIT_S, key)
        except TimeoutError as error:
            hint = "See that the sign-in host can be reached from this machine."
            raise Unavailable(f"{target.what} at {target.cloud.login}: {error}", hint=hint) from None

    def _bridge(self, network: NetworkConfig) -> Bridge:
        if network not in self._bridges:
            self._bridges[network] = Bridge(self._transport(network))
        return self._bridges[network]


def _direct(network: NetworkConfig) -> NetworkConfig:
    """The same network without its proxy: identity endpoints are on this machine, or on its link."""
    return evolve(network, proxy=None)


# --------------------------------------------------------------------------------------------- azure-core's credential


class AzureCredential:
    """The same tokens for libraries built on azure-core: an `AsyncTokenCredential` and `AsyncSupportsTokenInfo`.

    `held` gives the token of a directory and an audience; `directory` is where this one signs in. Raises our errors,
    which azure-core passes on as they are.
    """

    def __init__(
        self, held: Callable[[str, str], HeldToken], directory: str, close: Callable[[], Awaitable[None]]
    ) -> None:
        self._held = held
        self._directory = directory
        self._close = close
        self._refused = ""

    def of_directory(self, tenant_id: str) -> "AzureCredential":
        """The same app in another directory. It ends with this one; closing it alone does nothing."""
        return AzureCredential(self._held, tenant_id, _nothing)

    async def get_token_info(self, *scopes: str, options: Mapping[str, Any] | None = None) -> "AccessTokenInfo":
        """The token of one scope ("https://monitor.azure.com/.default") with its times."""
        from azure.core.credentials import AccessTokenInfo  # noqa: PLC0415 - comes with the caller's library

        token = await self._get(scopes, str((options or {}).get("claims") or ""))
        refresh_on = int(token.refresh_at.timestamp()) if token.refresh_at else None
        return AccessTokenInfo(token.value, int(token.expires_at.timestamp()), refresh_on=refresh_on)

    async def get_token(self, *scopes: str, claims: str | None = None, **_: Any) -> "AccessToken":
        """As `get_token_info`, for older callers."""
        from azure.core.credentials import AccessToken  # noqa: PLC0415

        token = await self._get(scopes, claims or "")
        return AccessToken(token.value, int(token.expires_at.timestamp()))

    async def text(self, scope: str) -> str:
        """The token of one scope, for protocols that take it as a word."""
        return (await self._get((scope,), "")).value

    def forget(self, refused: str) -> None:
        """This token was refused: the next one asked for is another."""
        self._refused = refused

    async def _get(self, scopes: tuple[str, ...], claims: str) -> Token:
        refused, self._refused = self._refused, ""
        held = self._held(self._directory, scopes[0].removesuffix("/.default"))
        return await held.get(refused=refused, claims=claims)

    async def close(self) -> None:
        """Close what was opened for this credential; harmless when repeated."""
        await self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.close()


def azure_credential(
    auth: AuthConfig, cloud: Cloud, network: NetworkConfig, clock: Clock | None = None
) -> AzureCredential:
    """The credential of a sink, with a transport of its own; `auth.options` name the directory as `tenant_id`.

    Call it, and everything it returns, on one event loop. `network.proxy` may still hold references.
    """
    clock = clock or SystemClock()
    transports: list[Wire] = []

    def transport(wanted: NetworkConfig) -> Wire:
        proxy = resolve_url(wanted.proxy) if wanted.proxy and wanted.proxy != "env" else wanted.proxy
        transports.append(open_client(evolve(wanted, proxy=proxy), clock))
        return transports[-1]

    sign_in = SignIn(clock, transport)

    async def close() -> None:
        await sign_in.close()
        for http in transports:
            await http.close()

    def held(directory: str, audience: str) -> HeldToken:
        return sign_in.held(auth, Target(directory, cloud, audience), network)

    return AzureCredential(held, str(auth.options.get("tenant_id") or ""), close)


async def _nothing() -> None:
    """What there is to close where somebody else closes it."""
