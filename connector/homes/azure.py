"""What Azure keeps for the function app: its tenants file, a copy of the one that was taken last, secrets in a vault.

All of it is read as the identity that keeps the state. What a tenants file means is not known here.
"""

import json
import re
from collections.abc import AsyncIterator, Mapping, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from connector.config.environment import PREFIX, tree
from connector.config.keys import TOP
from connector.config.read import Reader
from connector.config.values import AuthConfig, NetworkConfig
from connector.config.yaml_file import MAX_BYTES
from connector.deliver.prepare import resolved_network
from connector.errors import ConfigError, SecureScoreError, Unavailable
from connector.net.clouds import CLOUDS
from connector.net.connect import open_client
from connector.net.http import Response, Wire, error_for
from connector.ports import Clock
from connector.signin.tokens import azure_credential

STORAGE, STORAGE_VERSION = "https://storage.azure.com", "2023-11-03"
VAULT_VERSION = "7.4"
MAX_SECRET_BYTES = 256 * 1024
"""Of a vault's answer: ten times what a secret with its tags can be."""
_VAULT = re.compile(
    r"keyvault:https://(?:localhost:[0-9]+|[a-z0-9-]+\.(vault\.(?:azure\.net|usgovcloudapi\.net)))"
    r"/secrets/[A-Za-z0-9-]{1,127}(?:/[0-9a-f]{32})?"
)
"""Where the identity's token for vaults may be sent: to a vault, or to this machine."""


async def fetch_tenants(address: str, etag: str, environ: Mapping[str, str], clock: Clock) -> tuple[bytes | None, str]:
    """The tenants file and its ETag; None when it is still the one with this ETag. Raises ConfigError, Unavailable."""
    account = environ.get("SECURESCORE__state__blob__account_url", "").rstrip("/")
    if not account or not address.startswith(f"{account}/"):
        raise ConfigError(
            ["app setting SECURESCORE_TENANTS_BLOB: is not in the storage account of the state"],
            "put the file into a container there: the identity's token is sent nowhere else",
        )
    answer = await _storage("GET", address, {"If-None-Match": etag} if etag else {}, None, environ, clock)
    if answer.status == 304:
        return None, etag
    if answer.status in (401, 403, 404):
        raise ConfigError(
            [f"app setting SECURESCORE_TENANTS_BLOB: HTTP {answer.status}"],
            "correct the address, or give the app's identity the role Storage Blob Data Reader on the container",
        )
    if answer.status != 200:
        raise error_for(answer, "the tenants file")
    if answer.cut:
        raise Unavailable(f"the tenants file is {answer.cut}")
    return answer.body, answer.headers.get("etag", "")


async def keep_tenants(address: str, file: bytes, environ: Mapping[str, str], clock: Clock) -> None:
    """Keep a tenants file that was taken, beside the state: a process that starts while the next one is wrong needs it.

    Raises SecureScoreError.
    """
    answer = await _storage("PUT", _copy(address, environ), {"x-ms-blob-type": "BlockBlob"}, file, environ, clock)
    if answer.status != 201:
        raise error_for(answer, "the copy of the tenants file")


async def kept_tenants(address: str, environ: Mapping[str, str], clock: Clock) -> bytes | None:
    """The tenants file that was taken last; None where none was. Raises SecureScoreError."""
    answer = await _storage("GET", _copy(address, environ), {}, None, environ, clock)
    if answer.status == 404:
        return None
    if answer.status != 200 or answer.cut:
        raise error_for(answer, "the copy of the tenants file")
    return answer.body


def _copy(address: str, environ: Mapping[str, str]) -> str:
    """Where the copy lies: by the state, under a name that is none of its documents; of the same kind (.csv)."""
    account, container, prefix = (
        environ.get(f"SECURESCORE__state__blob__{key}", "").strip("/") for key in ("account_url", "container", "prefix")
    )
    return "/".join(part for part in (account, container, prefix, "taken", file_name(address)) if part)


def file_name(address: str) -> str:
    """The last part of an address."""
    return address.rpartition("/")[2].partition("?")[0] or "tenants.csv"


async def _storage(
    method: str,
    address: str,
    headers: Mapping[str, str],
    body: bytes | None,
    environ: Mapping[str, str],
    clock: Clock,
) -> Response:
    async with _as_identity(environ, clock) as (http, credential):
        token = (await credential.get_token_info(f"{STORAGE}/.default")).token
        sent = {**headers, "x-ms-version": STORAGE_VERSION, "Authorization": f"Bearer {token}"}
        return await http.request(method, address, headers=sent, body=body, max_bytes=MAX_BYTES)


async def read_secrets(environ: MutableMapping[str, str], clock: Clock) -> None:
    """Put in place of each setting `keyvault:…` what the vault holds. Raises ConfigError for all that cannot be had."""
    wanted = {name: text.strip() for name, text in environ.items() if text.strip().startswith("keyvault:")}
    if not wanted:
        return
    problems = []
    async with _as_identity(environ, clock) as (http, credential):
        for name, text in wanted.items():
            match = _VAULT.fullmatch(text)
            if match is None:
                problems.append(f"app setting {name}: expected keyvault:https://<vault>/secrets/<name>")
                continue
            try:
                audience = f"https://{match[1] or 'vault.azure.net'}"
                token = (await credential.get_token_info(f"{audience}/.default")).token
                answer = await http.request(
                    "GET",
                    f"{text.removeprefix('keyvault:')}?api-version={VAULT_VERSION}",
                    headers={"Authorization": f"Bearer {token}"},
                    max_bytes=MAX_SECRET_BYTES,
                )
                environ[name] = _secret(answer.status, answer.body)
            except (SecureScoreError, ValueError) as error:
                problems.append(f"app setting {name}: the vault does not give it ({error})")
    if problems:
        raise ConfigError(problems, "give the app's identity the role Key Vault Secrets User, and see that it is there")


def _secret(status: int, body: bytes) -> str:
    """The value in the vault's answer. Raises ValueError, which never quotes it."""
    if status != 200:
        raise ValueError(f"HTTP {status}")
    try:
        value = json.loads(body)["value"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise ValueError("its answer is no secret") from None
    if not isinstance(value, str) or not value:
        raise ValueError("it is empty")
    return value


def network_of(environ: Mapping[str, str]) -> NetworkConfig:
    """The way that the settings name, before they are read as a whole; what is wrong with them is said then."""
    reader = Reader(lambda _: None, environ)
    keys = {key: option for key, option in TOP.items() if key.startswith("network.")}
    written = tree({name: text for name, text in environ.items() if name.startswith(f"{PREFIX}network__")})[0]
    found = reader.read_all(keys, written)
    return NetworkConfig(**{key.removeprefix("network."): value for key, value in found.items()})


@asynccontextmanager
async def _as_identity(environ: Mapping[str, str], clock: Clock) -> AsyncIterator[tuple[Wire, Any]]:
    """A transport and a credential of the identity that keeps the state."""
    network = network_of(environ)
    client_id = environ.get("SECURESCORE__state__blob__client_id")
    auth = AuthConfig("managed_identity", {"client_id": client_id} if client_id else {})
    http = open_client(resolved_network(network), clock)
    credential = azure_credential(auth, CLOUDS["global"], network, clock)
    try:
        yield http, credential
    finally:
        await http.close()
        await credential.close()
