"""The modular input on splunk-sdk: what splunkd says → a configuration, one poll, one delivery, the end.

Composition only; every part with a decision in it lives in connector/ and sinks/ and is tested there. splunkd starts
this process for each input and each interval. stdout belongs to the events, stderr to log lines in splunkd's form.
"""

import asyncio
import logging
import os
import signal
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import certifi
from splunklib import binding, client
from splunklib.modularinput import Argument, Scheme, Script

from connector.config import splunk_conf
from connector.config.values import Config, LogConfig
from connector.errors import ConfigError, SecureScoreError, StoreBusy
from connector.health.logs import log_as_splunkd
from connector.homes import splunkd
from connector.stores import lease
from sinks.splunk_input import ModularInputSink, Place

APP = "TA_ms_secure_score"
REST_ROOT = "ta_ms_secure_score"
KIND = "secure_score"
STATE = "ms_secure_score_state"
LEASE = "ms_secure_score_lease"
SHARE = 0.9
"""Of the interval: when a run is told to end."""
LEASE_SHARE = 0.95
"""Of the interval: when a run has ended, come what may, and how long its lease keeps other members from polling."""
LAST_WORDS_S = 3.0
WINDOWS = os.name == "nt"

ARGUMENTS: Mapping[str, str] = {
    "account": "Account (tenant) to poll",
    "streams": "Streams, separated by |",
    "backfill_days": "Days of history read at first contact",
    "min_points": "Smaller moves of a control are no event",
    "inventory": "daily, baseline or off",
    "language": "Language of control titles",
    "target_percent": "Event when the score falls below this percentage",
    "target_drop": "Event when the score loses so many points in a day",
    "target_controls": "Controls that must keep full points, separated by commas",
    "exception_review_days": "Event when a declared state is so many days old",
    "exception_comment_required": "1 makes an event of a declared state without a comment",
    "state_store": "auto, files or kvstore",
    "resend_since": "Send again what was observed since this day",
    "accept_suspicious": "1 accepts the next suspicious snapshot",
}

log = logging.getLogger("securescore.input")


class SecureScoreInput(Script):
    """`failed` says that a run was not good; splunklib itself only knows of exceptions."""

    failed = False

    def get_scheme(self) -> Scheme:
        scheme = Scheme("Microsoft Secure Score")
        scheme.description = "Polls Microsoft Secure Score and sends what changed, with its causes."
        scheme.use_external_validation = True
        scheme.use_single_instance = False
        for name, text in ARGUMENTS.items():
            required = name == "account"
            scheme.add_argument(Argument(name, title=text, required_on_create=required, required_on_edit=False))
        return scheme

    def validate_input(self, definition: Any) -> None:
        """Raises an error whose text the page shows."""
        try:
            _Run(definition.metadata, definition.metadata["name"], definition.parameters).configured()
        except SecureScoreError as error:
            raise ValueError(words(error)) from error

    def stream_events(self, inputs: Any, ew: Any) -> None:
        for stanza, params in inputs.inputs.items():
            try:
                texts = {key: text_of(value) for key, value in params.items()}
                with ended_after(LEASE_SHARE * splunk_conf.interval_s(texts)):
                    self.failed |= not _Run(inputs.metadata, stanza.partition("://")[2], params).go(stanza, ew)
            except StoreBusy as error:
                log.warning("the previous run of this input is not over yet; this one ends: %s", error.what)
            except SecureScoreError as error:
                log.error("%s", words(error))  # noqa: TRY400 - a fact, no bug
                self.failed = True


class _Run:
    """One input in this process."""

    def __init__(self, metadata: Mapping[str, str], name: str, params: Mapping[str, Any]) -> None:
        at = urlsplit(metadata["server_uri"])
        self.service = client.Service(
            scheme=at.scheme,
            host=at.hostname,
            port=at.port,
            token=metadata["session_key"],
            owner="nobody",
            app=APP,
            autologin=False,
            handler=splunkd.bounded(binding.handler(timeout=splunkd.SOCKET_S)),
        )
        self.folder = Path(metadata["checkpoint_dir"])
        self.name = name
        self.params = {key: text_of(value) for key, value in params.items()}
        self.server = splunkd.server(self.service)

    def configured(self) -> Config:
        """The configuration, its secrets in this process's environment. Raises SecureScoreError."""
        account = self.params.get("account", "").strip()
        accounts, settings = f"{REST_ROOT}_account", f"{REST_ROOT}_settings"
        stanza = splunkd.stanza(self.service, accounts, account) if account else {}
        if not stanza:
            raise ConfigError(
                [f"account: there is no account {account!r}" if account else "account: choose an account"],
                "add it on the add-on's configuration page, tab Account",
            )
        proxy = splunkd.stanza(self.service, settings, "proxy")
        logging_ = splunkd.stanza(self.service, settings, "logging")
        kind = splunk_conf.home_kind(self.params, clustered=self.server.clustered, windows=WINDOWS)
        home = (
            splunk_conf.Home(directory=str(self.folder / self.name))
            if kind == "files"
            else splunk_conf.Home(collection=STATE, app=APP)
        )
        config = splunk_conf.config_of(splunk_conf.Stanzas(self.name, self.params, stanza, proxy, logging_), home)
        secret = splunkd.secrets(self.service, APP, accounts, account).get("client_secret", "")
        if not secret:
            raise ConfigError(
                [f"account {account}: no client secret is stored"], "enter it on the configuration page, tab Account"
            )
        os.environ[splunk_conf.SECRET] = secret
        if proxy.get("proxy_username"):
            stored = splunkd.secrets(self.service, APP, settings, "proxy")
            os.environ[splunk_conf.PROXY_PASSWORD] = stored.get("proxy_password", "")
        return config

    def go(self, stanza: str, writer: Any) -> bool:
        """Poll and deliver; whether all went well. Raises SecureScoreError."""
        config = self.configured()
        log_as_splunkd(config.log)
        return asyncio.run(self._visit(config, stanza, writer))

    async def _visit(self, config: Config, stanza: str, writer: Any) -> bool:
        interval_s = splunk_conf.interval_s(self.params)
        try:
            async with asyncio.timeout(SHARE * interval_s):
                return await self._turn(config, stanza, writer, interval_s)
        except TimeoutError:
            log.error(  # noqa: TRY400 - a fact, no bug
                "not over after %d s: it ends, nothing is lost, the next run goes on", SHARE * interval_s
            )
            return False

    async def _turn(self, config: Config, stanza: str, writer: Any, interval_s: int) -> bool:
        # splunkd's questions about scheme and arguments are answered without loading the engine.
        from connector.app import instance, open_app  # noqa: PLC0415
        from connector.homes.input_requests import InputRequests, fulfil  # noqa: PLC0415

        collection = None
        if config.state.kvstore is not None:
            collection, turns = self._collection(STATE), self._collection(LEASE)
            now = datetime.now(UTC)
            until = now + timedelta(seconds=LEASE_SHARE * interval_s)
            other = await lease.take(turns, self.name, self.server.guid, now, until)
            if other is not None:
                log.info("another member polls this input: %s", other)
                return True
        index = self.params.get("index", "")
        place = Place(stanza, index if index not in ("", "default") else None, self.params.get("host") or None)
        sink = ModularInputSink(splunk_conf.SINK, place, writer)
        tenant = config.tenants[0]
        requests = InputRequests(splunk_conf.resend_since(self.params), splunk_conf.accept(self.params))
        async with open_app(
            config, collection=collection, ready={sink.name: sink}, called=instance(f"-{self.name}")
        ) as app:
            for done in await fulfil(app.store, sink.name, tenant.key, requests):
                log.info("%s", done)
            polls, sinks = await app.visit(deadline_s=SHARE * interval_s / 2)
        for poll in polls:
            if poll.error is not None:
                log.error("%s: %s. %s", poll.tenant, poll.error, poll.hint)
        for outcome in sinks:
            if outcome.error is not None:
                log.error("events wait for the next run: %s. %s", outcome.error, outcome.hint)
        sent = sum(outcome.sent for outcome in sinks)
        log.info("%s: %s, %d events sent", tenant.name, ", ".join(poll.status for poll in polls), sent)
        return all(p.status != "failed" for p in polls) and all(s.state in ("ok", "idle") for s in sinks)

    def _collection(self, name: str) -> Any:
        return client.KVStoreCollectionData(self.service.kvstore[name])


def text_of(value: Any) -> str:
    return "|".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


def words(error: SecureScoreError) -> str:
    problems = "; ".join(error.problems) if isinstance(error, ConfigError) else error.what
    return f"{problems}. Next: {error.hint}" if error.hint else problems


def stop(number: int, _: Any) -> None:
    """End now, even out of a write that nobody reads: state is durable, what is not settled comes again."""
    os._exit(128 + number)


@contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """End the process when this is not over by then.

    A write into a pipe that splunkd does not read stops everything in this process, its own time limit too. Another
    member that has the lease by then would send the same beside us.
    """
    timer = threading.Timer(seconds, _end, [seconds])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end(seconds: float) -> None:
    words = "not over after %d s, and not to be ended: the process is; nothing is lost, the next run goes on"
    told = threading.Thread(target=log.error, args=(words, seconds), daemon=True)  # stderr may be stuck, too
    told.start()
    told.join(LAST_WORDS_S)
    os._exit(1)


def trust() -> None:
    """Where Splunk's OpenSSL finds no certificate authorities, those of lib/ (certifi) are the system's."""
    found = ssl.get_default_verify_paths()
    if found.cafile is None and not (found.capath and any(Path(found.capath).iterdir())):
        os.environ["SSL_CERT_FILE"] = certifi.where()


def main(arguments: list[str]) -> int:
    """Run as splunkd asks; the exit code says whether all went well."""
    log_as_splunkd(LogConfig())
    trust()
    signal.signal(signal.SIGTERM, stop)
    script = SecureScoreInput()
    return script.run(arguments) or int(script.failed)
