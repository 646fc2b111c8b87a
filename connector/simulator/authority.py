"""A simulated Microsoft Entra: discovery, token and device-code endpoints, and a managed-identity endpoint.

For `securescore simulate --tls`, demos and tests with real MSAL. It checks what Entra checks (secret and its expiry,
certificate signatures, federated subjects, consent, disabled applications) and refuses with Entra's codes in words of
our own. Its tokens are JWTs that only it verifies (HS256 with a key made at start).
"""

import base64
import hashlib
import hmac
import json
import re
import secrets
import ssl as tls
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

from aiohttp import web
from attrs import Factory, define, field

from connector.ports import Clock
from connector.simulator.server import READ, SECURITY_READER, Caller

LIFETIME_S = 3599
DEVICE_SECONDS = 900
_PATH = re.compile(
    r"/([0-9a-zA-Z.-]{1,80})/(?:v2\.0/(\.well-known/openid-configuration)|oauth2/v2\.0/(token|devicecode))"
)
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@define
class Registration:
    """One application. `secrets` maps each value to whether it is still valid; `certificates` are PEM.

    `roles` are the application permissions consented to, by tenant (None = every tenant); `scopes` the delegated ones.
    """

    client_id: str
    secrets: dict[str, bool] = field(factory=dict, repr=False)
    certificates: list[str] = field(factory=list, repr=False)
    federated_subjects: set[str] = Factory(set)
    roles: dict[str | None, frozenset[str]] = Factory(dict)
    scopes: frozenset[str] = frozenset({READ})
    disabled: bool = False
    public_client: bool = True


@define
class _Device:
    client_id: str
    user_code: str
    scope: str
    tries: int = 0


class Refusal(Exception):
    """An OAuth error answer: HTTP status, error, AADSTS code, words."""

    def __init__(self, status: int, error: str, code: int, words: str) -> None:
        super().__init__(words)
        self.status, self.error, self.code = status, error, code


@define
class Authority:
    """A running authority. Registrations and tenants may be changed while it runs.

    `requests` holds the latest forms; `fail` makes the next answers bodies of one's own: (status, headers, body).
    """

    clock: Clock
    tenants: set[str]
    registrations: dict[str, Registration] = Factory(dict)
    approve_devices: bool = False
    lifetime_s: int = LIFETIME_S
    refresh_in_s: int | None = None
    base_url: str = ""
    elsewhere: str | None = None
    requests: deque[Mapping[str, str]] = field(factory=lambda: deque(maxlen=10_000), repr=False)
    peers: deque[Any] = field(factory=lambda: deque(maxlen=10_000), repr=False)
    fail: deque[tuple[int, Mapping[str, str], bytes]] = field(factory=deque, repr=False)
    directory_roles: tuple[str, ...] = (SECURITY_READER,)
    identities: dict[str, str] = Factory(dict)
    identity_roles: frozenset[str] = frozenset({READ})
    _key: bytes = field(factory=lambda: secrets.token_bytes(32), repr=False)
    _devices: dict[str, _Device] = Factory(dict)
    _refresh: dict[str, tuple[str, str]] = field(factory=dict, repr=False)

    # ------------------------------------------------------------------------------------------------------ tokens

    def issue(self, claims: Mapping[str, Any]) -> str:
        """A signed token with these claims and the usual times."""
        now = int(self.clock.now().timestamp())
        full = {"iat": now, "nbf": now, "exp": now + self.lifetime_s, "jti": uuid4().hex, **claims}
        head = _b64(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
        body = _b64(json.dumps(full).encode())
        return f"{head}.{body}.{_b64(self._sign(f'{head}.{body}'))}"

    def caller(self, token: str) -> Caller | None:
        """Who a token of ours speaks for: what `serve(authenticate=…)` of the simulated Graph takes."""
        try:
            head, body, signature = token.split(".")
            claims = json.loads(_unb64(body))
        except ValueError:
            return None
        if not hmac.compare_digest(_unb64(signature), self._sign(f"{head}.{body}")):
            return None
        if claims["exp"] < self.clock.now().timestamp():
            return None
        delegated = "scp" in claims
        return Caller(
            claims["tid"],
            frozenset(claims["scp"].split() if delegated else claims.get("roles", ())),
            audience=claims.get("aud", ""),
            delegated=delegated,
            directory_roles=frozenset(claims.get("wids", ())),
        )

    def _sign(self, text: str) -> bytes:
        return hmac.new(self._key, text.encode(), hashlib.sha256).digest()

    # --------------------------------------------------------------------------------------------------- endpoints

    def discovery(self, tenant: str) -> dict[str, Any]:
        """OpenID Connect discovery. Raises Refusal for an unknown tenant."""
        if tenant not in self.tenants:
            raise Refusal(400, "invalid_tenant", 90002, f"Tenant '{tenant}' not found.")
        root = f"{self.elsewhere or self.base_url}/{tenant}"
        return {
            "issuer": f"{self.base_url}/{tenant}/v2.0",
            "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
            "token_endpoint": f"{root}/oauth2/v2.0/token",
            "device_authorization_endpoint": f"{root}/oauth2/v2.0/devicecode",
        }

    def token(self, tenant: str, form: Mapping[str, str]) -> dict[str, Any]:
        """The token endpoint (RFC 6749, RFC 8628). Raises Refusal."""
        self.discovery(tenant)
        app = self.registrations.get(form.get("client_id", ""))
        if app is None:
            raise Refusal(400, "unauthorized_client", 700016, "The application was not found in the directory.")
        if app.disabled:
            raise Refusal(401, "unauthorized_client", 7000112, "The application is disabled.")
        grant = form.get("grant_type")
        if grant == "client_credentials":
            return self._for_application(tenant, app, form)
        if not app.public_client:
            raise Refusal(401, "invalid_client", 7000218, "The request must contain client_assertion or client_secret.")
        if grant == _DEVICE_GRANT:
            return self._for_device(tenant, app, form)
        if grant == "refresh_token":
            owner = self._refresh.get(form.get("refresh_token", ""))
            if owner is None or owner[0] != app.client_id:
                raise Refusal(400, "invalid_grant", 700082, "The refresh token has expired due to inactivity.")
            return self._for_user(tenant, app, form.get("scope", ""))
        raise Refusal(400, "unsupported_grant_type", 70003, "The grant type is not supported.")

    def _for_application(self, tenant: str, app: Registration, form: Mapping[str, str]) -> dict[str, Any]:
        if "client_secret" in form:
            valid = app.secrets.get(form["client_secret"])
            if valid is None:
                raise Refusal(401, "invalid_client", 7000215, "Invalid client secret provided.")
            if not valid:
                raise Refusal(401, "invalid_client", 7000222, "The provided client secret keys are expired.")
        elif not self._asserted(app, form.get("client_assertion", "")):
            raise Refusal(401, "invalid_client", 700027, "The certificate is not registered on the application.")
        if tenant not in app.roles and None not in app.roles:
            raise Refusal(401, "invalid_client", 7000229, "The application has no service principal in the tenant.")
        roles = app.roles.get(tenant, app.roles.get(None, frozenset()))
        audience = form.get("scope", "").removesuffix("/.default")
        claims = {"aud": audience, "tid": tenant, "appid": app.client_id, "idtyp": "app", "roles": sorted(roles)}
        return self._answer(self.issue(claims))

    def _asserted(self, app: Registration, assertion: str) -> bool:
        """Whether a client assertion (RFC 7523) is signed by a certificate of the application, or is federated."""
        try:
            head, body, signature = assertion.split(".")
            header, claims = json.loads(_unb64(head)), json.loads(_unb64(body))
        except ValueError:
            return False
        if claims.get("sub") in app.federated_subjects:
            if not str(claims.get("aud")).startswith("api://AzureADTokenExchange"):
                raise Refusal(401, "invalid_client", 700212, "No federated credential has this audience.")
            return True
        if header.get("alg") != "PS256" or claims.get("iss") != app.client_id:
            return False
        return any(
            _signed(pem, header.get("x5t#S256", ""), f"{head}.{body}".encode(), _unb64(signature))
            for pem in app.certificates
        )

    def _for_device(self, tenant: str, app: Registration, form: Mapping[str, str]) -> dict[str, Any]:
        device = self._devices.get(form.get("device_code", ""))
        if device is None:
            raise Refusal(400, "expired_token", 70020, "The device code has expired.")
        device.tries += 1
        if device.user_code == "declined":
            raise Refusal(400, "authorization_declined", 70018, "The sign-in was declined.")
        if device.user_code and not (self.approve_devices and device.tries > 1):
            raise Refusal(400, "authorization_pending", 70016, "The sign-in is pending.")
        if not app.scopes:
            raise Refusal(400, "invalid_grant", 65001, "The administrator has not consented to the application.")
        del self._devices[form["device_code"]]
        return self._for_user(tenant, app, device.scope)

    def _for_user(self, tenant: str, app: Registration, scope: str) -> dict[str, Any]:
        wanted = {s.rpartition("/")[2] for s in scope.split()} - {"openid", "profile", "offline_access"}
        granted = sorted(wanted & app.scopes)
        audience = next((s.rpartition("/")[0] for s in scope.split() if "/" in s), "")
        user = {"oid": "user-1", "sub": "user-1", "tid": tenant, "preferred_username": "analyst@example.org"}
        token = self.issue({**user, "aud": audience, "scp": " ".join(granted), "wids": list(self.directory_roles)})
        renewal = secrets.token_urlsafe(24)
        self._refresh[renewal] = (app.client_id, tenant)
        return {
            **self._answer(token),
            "scope": scope,
            "refresh_token": renewal,
            "id_token": self.issue({**user, "aud": app.client_id}),
            "client_info": _b64(json.dumps({"uid": "user-1", "utid": tenant}).encode()),
        }

    def _answer(self, token: str) -> dict[str, Any]:
        early = {} if self.refresh_in_s is None else {"refresh_in": self.refresh_in_s}
        return {"token_type": "Bearer", "expires_in": self.lifetime_s, "access_token": token, **early}

    def device(self, tenant: str, form: Mapping[str, str]) -> dict[str, Any]:
        """The device authorization endpoint (RFC 8628 section 3.1). Raises Refusal."""
        self.discovery(tenant)
        app = self.registrations.get(form.get("client_id", ""))
        if app is None:
            raise Refusal(400, "unauthorized_client", 700016, "The application was not found in the directory.")
        code = "".join(secrets.choice("BCDFGHJKLMNPQRSTVWXZ") for _ in range(8))
        handle = secrets.token_urlsafe(24)
        self._devices[handle] = _Device(app.client_id, code, form.get("scope", ""))
        return {
            "device_code": handle,
            "user_code": code,
            "verification_uri": f"{self.base_url}/device",
            "expires_in": DEVICE_SECONDS,
            "interval": 1,
        }

    def decide(self, user_code: str, *, approve: bool = True) -> bool:
        """A person typed a code. False for an unknown one."""
        for device in self._devices.values():
            if device.user_code == user_code.strip().upper():
                device.user_code = "" if approve else "declined"
                return True
        return False

    def revoke(self) -> None:
        """Revoke all refresh tokens."""
        self._refresh.clear()

    def identity(self, query: Mapping[str, str]) -> dict[str, Any]:
        """The managed-identity endpoint of App Service and of virtual machines. Raises Refusal.

        `identities` maps a client id ("" = system-assigned) to the directory its tokens are for.
        """
        tenant = self.identities.get(query.get("client_id", ""))
        if tenant is None:
            raise Refusal(400, "invalid_request", 0, "Identity not found.")
        issuer = f"https://sts.windows.net/{tenant}/"
        claims = {"iss": issuer, "aud": query.get("resource", ""), "tid": tenant, "idtyp": "app"}
        roles = {"roles": sorted(self.identity_roles)}
        token = self.issue({**claims, **roles, "sub": f"identity:{query.get('client_id', '')}"})
        expires = int(self.clock.now().timestamp()) + self.lifetime_s
        times = {"expires_on": str(expires), "expires_in": str(self.lifetime_s)}
        return {"access_token": token, "resource": claims["aud"], "token_type": "Bearer", **times}

    # ------------------------------------------------------------------------------------------------------- HTTP

    async def handle(self, request: web.Request) -> web.Response:
        """One HTTP request to any of the endpoints."""
        form = dict(parse_qsl((await request.read()).decode("utf-8", "replace"), keep_blank_values=True))
        self.peers.append(request.transport.get_extra_info("peername") if request.transport else None)
        self.requests.append({"path": request.path, **request.query, **form})
        if self.fail:
            status, headers, body = self.fail.popleft()
            return web.Response(status=status, headers=headers, body=body)
        try:
            return web.json_response(self._route(request, form))
        except Refusal as refusal:
            words = f"AADSTS{refusal.code}: {refusal} Trace ID: {uuid4()} Correlation ID: {uuid4()}"
            answer = {
                "error": refusal.error,
                "error_description": words,
                "error_codes": [refusal.code],
                "trace_id": str(uuid4()),
                "correlation_id": str(uuid4()),
            }
            return web.json_response(answer, status=refusal.status)

    def _route(self, request: web.Request, form: Mapping[str, str]) -> dict[str, Any]:
        if request.path in ("/msi/token", "/metadata/identity/oauth2/token"):
            return self.identity(request.query)
        if request.path == "/device":
            return {"accepted": self.decide(request.query.get("code", ""))}
        found = _PATH.fullmatch(request.path)
        if not found:
            raise Refusal(404, "not_found", 0, "There is nothing here.")
        tenant, discovery, endpoint = found.groups()
        if discovery:
            return self.discovery(tenant)
        return self.token(tenant, form) if endpoint == "token" else self.device(tenant, form)


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _signed(pem: str, thumbprint: str, content: bytes, signature: bytes) -> bool:
    """Whether the certificate with this SHA-256 thumbprint signed the content (RSASSA-PSS, RFC 7518 section 3.5)."""
    from cryptography import x509  # noqa: PLC0415 - comes with msal; few simulations need it
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import padding  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415

    certificate = x509.load_pem_x509_certificate(pem.encode())
    key = certificate.public_key()
    if _b64(certificate.fingerprint(hashes.SHA256())) != thumbprint.rstrip("=") or not isinstance(key, RSAPublicKey):
        return False
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    try:
        key.verify(signature, content, pss, hashes.SHA256())
    except InvalidSignature:
        return False
    return True


@asynccontextmanager
async def serve_authority(
    clock: Clock,
    tenants: Sequence[str],
    registrations: Sequence[Registration],
    *,
    ssl: tls.SSLContext | None,
    port: int = 0,
    host: str = "127.0.0.1",
    name: str = "localhost",
) -> AsyncIterator[Authority]:
    """Run the authority on a port (0 = any free one); it calls itself `name`. MSAL takes it over TLS only.

    Raises OSError when the port cannot be had.
    """
    authority = Authority(clock, set(tenants), {app.client_id: app for app in registrations})
    application = web.Application(client_max_size=64 * 1024)
    application.router.add_route("*", "/{path:.*}", authority.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=ssl).start()
        authority.base_url = f"{'https' if ssl else 'http'}://{name}:{runner.addresses[0][1]}"
        yield authority
    finally:
        await runner.cleanup()
