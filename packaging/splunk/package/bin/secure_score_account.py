"""An account inside Splunk: its secret, for the input as for the page, and whether it would work, for the page.

Composition only: what is asked of Microsoft stands in connector/homes/try_account.py. No pages are known here.
"""

import asyncio
import importlib.util
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import certifi
from splunklib import binding, client

from connector.config import splunk_conf
from connector.errors import ConfigError, SecureScoreError
from connector.homes import splunkd

APP = "TA_ms_secure_score"
REST_ROOT = "ta_ms_secure_score"
HIDDEN = "******"
SECRETS = ("client_secret", "certificate_password")


def take_secret(name: str, stanza: Mapping[str, str], stored: Mapping[str, str], variable: str) -> None:
    """Put an account's secret into this process's environment. Raises ConfigError when it cannot sign in without it."""
    if stanza.get("auth_kind") == "certificate":
        if importlib.util.find_spec("cryptography") is None:
            raise ConfigError(
                [f"account {name}: a certificate needs the package cryptography, which this Splunk's Python lacks"],
                "use a client secret here, or let the Secure Score Connector service deliver by HTTP Event Collector",
            )
        os.environ[variable] = stored.get("certificate_password", "")
        return
    secret = stored.get("client_secret", "")
    if not secret:
        raise ConfigError(
            [f"account {name}: no client secret is stored"], "enter it on the configuration page, tab Account"
        )
    os.environ[variable] = secret


def trust() -> None:
    """Where Splunk's OpenSSL finds no certificate authorities, those of lib/ (certifi) are the system's."""
    found = ssl.get_default_verify_paths()
    if found.cafile is None and not (found.capath and any(Path(found.capath).iterdir())):
        os.environ["SSL_CERT_FILE"] = certifi.where()


def fault_of(uri: str, session: str, name: str, given: Mapping[str, str]) -> str | None:
    """Why an account as the page has it would not work, in words; None when it would."""
    from connector.homes.try_account import try_account  # noqa: PLC0415 - most requests ask nothing

    trust()
    at = urlsplit(uri)
    service = client.Service(
        scheme=at.scheme,
        host=at.hostname,
        port=at.port,
        token=session,
        owner="nobody",
        app=APP,
        autologin=False,
        handler=splunkd.bounded(binding.handler(timeout=splunkd.SOCKET_S)),
    )
    try:
        accounts, settings = f"{REST_ROOT}_account", f"{REST_ROOT}_settings"
        before = splunkd.stanza(service, accounts, name)
        stanza = {**before, **given}
        stored = splunkd.secrets(service, APP, accounts, name) if before else {}
        entered = {key: given[key] for key in SECRETS if given.get(key) not in (None, "", HIDDEN)}
        proxy = splunkd.stanza(service, settings, "proxy")
        home = splunk_conf.Home(collection="none", app=APP)  # nothing is kept
        stanzas = splunk_conf.Stanzas("check", {"account": name}, stanza, proxy, {})
        config = splunk_conf.config_of(stanzas, home)
        take_secret(name, stanza, {**stored, **entered}, splunk_conf.SECRET)
        if proxy.get("proxy_username"):
            os.environ[splunk_conf.PROXY_PASSWORD] = splunkd.secrets(service, APP, settings, "proxy").get(
                "proxy_password", ""
            )
        asyncio.run(try_account(config))
    except SecureScoreError as error:
        return words(error)
    finally:
        for variable in (splunk_conf.SECRET, splunk_conf.PROXY_PASSWORD):
            os.environ.pop(variable, None)
    return None


def words(error: SecureScoreError) -> str:
    problems = "; ".join(error.problems) if isinstance(error, ConfigError) else error.what
    return f"{problems}. Next: {error.hint}" if error.hint else problems
