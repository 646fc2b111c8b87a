"""What was answered to `securescore init`, tried: the directory at its sign-in host, and the sink as `check` tries it.

Nobody signs in, nothing is sent but what a probe sends, and nothing is written. What is answered later is not missed.
"""

import asyncio
import os
from pathlib import Path

from connector.cli.check import probed
from connector.cli.findings import Finding
from connector.config.parse import parse
from connector.config.values import Config, NetworkConfig
from connector.config.yaml_file import read_yaml
from connector.deliver.prepare import prepare, resolved_network
from connector.errors import ConfigError, SecureScoreError
from connector.net.connect import open_client
from connector.registry import sink_options

STAND_IN = "00000000-0000-4000-8000-000000000000"
"""An id where none is known yet: the sink is tried all the same."""


def tried(text: str, name: str, login: str, tenant_id: str | None) -> list[Finding]:
    """What came of it. `text` is the configuration with STAND_IN for what is not known, `name` its file."""
    return asyncio.run(_tried(config_of(text, name), login, tenant_id))


def config_of(text: str, name: str) -> Config:
    """The configuration as it would be read from this file. Raises ConfigError."""
    document = read_yaml(text, name)
    return parse(
        document.value,
        where=document.where,
        sink_options=sink_options,
        base_dir=str(Path(name).absolute().parent),
        environ=os.environ,
    )


async def _tried(config: Config, login: str, tenant_id: str | None) -> list[Finding]:
    found = [] if tenant_id is None else [await directory(login, tenant_id, config.network)]
    for entry in config.sinks:
        prepared = prepare(entry, config)
        if prepared.problems:  # its secret is a later step
            words = f"not tried yet: {'; '.join(prepared.problems)}"
            found.append(Finding("sink", entry.name, None, words, "securescore check tries it"))
            if prepared.sink is not None:
                await prepared.sink.close()
        else:
            found += await probed(prepared)
    return found


async def directory(login: str, tenant_id: str, network: NetworkConfig) -> Finding:
    """Whether the sign-in host, on the way that everything else will take, knows a directory of this id. It answers 400
    where it knows none.

    Source: https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc (the OpenID configuration document).
    """
    try:
        wire = open_client(resolved_network(network))
    except ConfigError as error:  # a password that comes later, or a proxy of the environment that is none
        return Finding("directory", tenant_id, None, f"not tried yet: {'; '.join(error.problems)}", error.hint)
    try:
        answer = await wire.request("GET", f"{login}/{tenant_id}/v2.0/.well-known/openid-configuration")
    except SecureScoreError as error:
        return Finding("directory", tenant_id, None, f"not tried: {error.what}", error.hint)
    finally:
        await wire.close()
    if answer.status == 200:
        return Finding("directory", tenant_id, True, f"{login} knows it")
    if answer.status == 400:
        hint = "the portal shows it: Entra ID > Overview > Tenant ID; each cloud has directories of its own (--cloud)"
        return Finding("directory", tenant_id, False, f"{login} knows no directory of this id", hint)
    return Finding("directory", tenant_id, None, f"not known: {login} answers HTTP {answer.status}")
