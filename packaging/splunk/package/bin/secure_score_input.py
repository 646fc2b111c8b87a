"""The modular input on splunk-sdk: what splunkd says → a configuration, a poll of each tenant, a delivery, the end.

Composition only; every part with a decision in it lives in connector/ and sinks/ and is tested there. splunkd starts
this process for each input and each interval. stdout belongs to the events, stderr to log lines in splunkd's form.
"""

import asyncio
import logging
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import secure_score_account
from secure_score_account import APP, REST_ROOT, trust, words
from splunklib import binding, client
from splunklib.modularinput import Argument, Scheme, Script

from connector.config import splunk_conf
from connector.config.values import Config, LogConfig
from connector.errors import ConfigError, SecureScoreError, StoreBusy
from connector.health.logs import log_as_splunkd, log_beside
from connector.homes import index_macro, splunkd
from connector.stores import lease
from connector.stores.kvstore import in_thread
from sinks.splunk_input import ModularInputSink, Place

if TYPE_CHECKING:
    from connector.observe.poller import PollOutcome

KIND = "secure_score"
STATE = "ms_secure_score_state"
LEASE = "ms_secure_score_lease"
INSTANCES = "ms_securescore_instances"
SHARE = 0.9
"""Of the interval: when a run is told to end."""
LEASE_SHARE = 0.95
"""Of the interval: when a run has ended, come what may, and how long its lease keeps other members from polling."""
LAST_WORDS_S = 3.0
WINDOWS = os.name == "nt"
MAX_LIST_BYTES = 4 * 1024 * 1024
"""Some forty thousand rows; what is behind them would not be polled in time by one input."""
LOOKUPS = Path(__file__).resolve().parent.parent / "lookups"

ARGUMENTS: Mapping[str, str] = {
    "account": "Account: the tenant to poll, or the app registration that reads those of a list",
    "tenant_list": "Lookup file with a list of tenants to poll instead",
    "reads": "graph, defender_cloud or defender_endpoint",
    "scope": "Of Defender for Cloud: tenant, management_groups or subscriptions",
    "scope_ids": "Ids of those, separated by commas",
    "compliance": "1 reads regulatory compliance of each subscription as well",
    "streams": "Streams, separated by |",
    "backfill_days": "Days of history read at first contact",
    "min_points": "Smaller moves of a control are no event",
    "inventory": "daily, baseline or off",
    "language": "Language of control titles",
    "target_percent": "Event when the score falls below this percentage",
    "target_exposure": "Event when the exposure score rises above this value",
    "target_drop": "Event when the score loses so many points in a day",
    "target_controls": "Controls that must keep full points, separated by commas",
    "exception_review_days": "Event when a declared state is so many days old",
    "exception_comment_required": "1 makes an event of a declared state without a comment",
    "older_format": "1 sends days also as GraphSecurity:Score",
    "set_macro": "1 lets the shipped searches read this input's index",
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
            _Run(definition.metadata, definition.metadata["name"], definition.parameters).judge()
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
        if not account:
            raise ConfigError(["account: choose an account"], "add one on the configuration page, tab Account")
        stanza = self._account(account, splunk_conf.SECRET)
        listed = self._listed()
        names = listed.accounts if listed else ()
        others = {name: self._account(name, splunk_conf.secret_of(names, name)) for name in names}
        settings = f"{REST_ROOT}_settings"
        proxy = splunkd.stanza(self.service, settings, "proxy")
        logging_ = splunkd.stanza(self.service, settings, "logging")
        kind = splunk_conf.home_kind(self.params, clustered=self.server.clustered, windows=WINDOWS)
        home = (
            splunk_conf.Home(directory=str(self.folder / self.name))
            if kind == "files"
            else splunk_conf.Home(collection=STATE, app=APP)
        )
        given = splunk_conf.Stanzas(self.name, self.params, stanza, proxy, logging_, listed, others)
        config = splunk_conf.config_of(given, home)
        if proxy.get("proxy_username"):
            stored = splunkd.secrets(self.service, APP, settings, "proxy")
            os.environ[splunk_conf.PROXY_PASSWORD] = stored.get("proxy_password", "")
        return config

    def _account(self, name: str, variable: str) -> Mapping[str, str]:
        """An account's stanza, its secret in this variable. Raises SecureScoreError."""
        accounts = f"{REST_ROOT}_account"
        stanza = splunkd.stanza(self.service, accounts, name)
        if not stanza:
            raise ConfigError(
                [f"account: there is no account {name!r}"], "add it on the add-on's configuration page, tab Account"
            )
        stored = splunkd.secrets(self.service, APP, accounts, name)
        secure_score_account.take_secret(name, stanza, stored, variable)
        return stanza

    def _listed(self) -> splunk_conf.TenantList | None:
        """The list of tenants, a lookup file of this app. Raises ConfigError."""
        file = splunk_conf.list_file(self.params)
        if file is None:
            return None
        try:
            with (LOOKUPS / file).open("rb") as stream:
                data = stream.read(MAX_LIST_BYTES + 1)
            text = data.decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                [f"tenant list: the lookup file {file} of this app cannot be read: {error}"],
                "upload it: Settings, Lookups, Lookup table files; then share it with the app (Permissions)",
            ) from None
        if len(data) > MAX_LIST_BYTES:
            raise ConfigError([f"tenant list: {file} is larger than {MAX_LIST_BYTES} bytes"], "spread it over inputs")
        return splunk_conf.read_list(file, text)

    def judge(self) -> None:
        """Whether a run would begin, and its events would find their index. Raises SecureScoreError."""
        config = self.configured()
        wanted = {self.params.get("index", ""), *(t.labels.get("splunk_index", "") for t in config.tenants)}
        faults = [fault for each in sorted(wanted) if (fault := splunkd.index_fault(self.service, each)) is not None]
        if faults:
            raise ConfigError(faults, "create it first: Settings, Indexes; on the indexers, where this host has none")

    def go(self, stanza: str, writer: Any) -> bool:
        """Poll and deliver; whether all went well. Raises SecureScoreError."""
        own_log(f"{REST_ROOT}_{self.name}.log", input=self.name)
        try:
            config = self.configured()
        except SecureScoreError:
            if not self.server.clustered:  # there whoever polls says so, under its own name
                asyncio.run(self._announce())
            raise
        logging.getLogger().setLevel(config.log.level.upper())
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
        from connector.app import open_app  # noqa: PLC0415
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
        called = await self._announce()
        index = self.params.get("index", "")
        if index not in ("", "default") and splunk_conf.is_on(self.params.get("set_macro", "1")):
            await in_thread(lambda: self._let_searches_read(index))
        place = Place(stanza, index if index not in ("", "default") else None, self.params.get("host") or None)
        counted = Counted(writer)
        ready = {each.name: ModularInputSink(each.name, place, counted) for each in config.sinks}
        requests = InputRequests(splunk_conf.resend_since(self.params), splunk_conf.accept(self.params))
        async with open_app(config, collection=collection, ready=ready, called=called) as app:
            for done in await fulfil(app.store, list(ready), [t.key for t in config.tenants], requests):
                log.info("%s", done)
            polls, sinks = await app.visit(deadline_s=SHARE * interval_s / 2)
        for poll in polls:
            if poll.error is not None:
                log.error("%s: %s. %s", poll.tenant, poll.error, poll.hint)
        for outcome in sinks:
            if outcome.error is not None:
                log.error("events wait for the next run: %s. %s", outcome.error, outcome.hint)
        self._tell_what_was_sent(stanza, counted)
        sent = sum(outcome.sent for outcome in sinks)
        log.info("%s: %s, %d events sent", *summary(polls), sent)
        return all(p.status != "failed" for p in polls) and all(s.state in ("ok", "idle") for s in sinks)

    async def _announce(self) -> str:
        """Be among those whose silence is noticed; what this connector calls itself.

        A KV store that is away is no reason not to poll.
        """
        from connector.app import instance  # noqa: PLC0415 - as above

        called = instance(f"-{self.name}")
        row = {
            "instance": called,
            "input": self.name,
            "host": self.server.name,
            "interval_s": splunk_conf.interval_s(self.params),
            "last_seen": int(time.time()),
        }

        def keep() -> None:
            splunkd.announce(self._collection(INSTANCES), row, splunkd.running(self.service, KIND))

        try:
            await in_thread(keep)
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs an alarm and no event
            log.warning("not among the expected instances (lookup %s): %s", INSTANCES, error)
        return called

    def _let_searches_read(self, index: str) -> None:
        """See that the shipped searches look into this index, where their macro is a plain list of indexes."""
        try:
            definition = splunkd.stanza(self.service, "macros", index_macro.MACRO).get("definition", "")
            reads = index_macro.reads(definition, index)
            if reads is None:
                log.warning("the macro %s is this site's own: see that it names index %s", index_macro.MACRO, index)
            elif not reads:
                wanted = index_macro.widened(definition, index)
                splunkd.set_definition(self.service, index_macro.MACRO, wanted)
                log.info("the macro %s is %s from now on", index_macro.MACRO, wanted)
        except SecureScoreError as error:
            log.warning("the macro %s may not name index %s: %s", index_macro.MACRO, index, words(error))

    def _tell_what_was_sent(self, stanza: str, counted: "Counted") -> None:
        """A line for each kind of event, in the words that the monitoring page looks for."""
        for (sourcetype, index), count in sorted(counted.seen.items()):
            facts = {
                "action": "events_ingested",
                "modular_input_name": stanza,
                "sourcetype_ingested": sourcetype,
                "n_events": count,
                "event_input": self.name,
                "event_index": index,
                "event_account": self.params.get("account", ""),
            }
            log.info("sent", extra=facts)

    def _collection(self, name: str) -> Any:
        return client.KVStoreCollectionData(self.service.kvstore[name])


class Counted:
    """A writer that counts what it wrote, by sourcetype and index."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self.seen: Counter[tuple[str, str]] = Counter()

    def write_event(self, event: Any) -> None:
        self._writer.write_event(event)
        self.seen[event.sourceType or "", event.index or "default"] += 1


def summary(polls: Sequence["PollOutcome"]) -> tuple[str, str]:
    """Who was polled, and how it went: the tenant's name and outcome, or how many there were of each outcome."""
    if len(polls) == 1:
        return polls[0].tenant, polls[0].status
    counts = Counter(poll.status for poll in polls)
    return f"{len(polls)} tenants", ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))


def own_log(name: str, **facts: str) -> None:
    """Log in a file of our own, below what splunkd indexes in _internal; on stderr alone where that cannot be."""
    folder = Path(os.environ.get("SPLUNK_HOME", "/nonexistent"), "var", "log", "splunk")
    if folder.is_dir():
        try:
            log_beside(folder / name.lower(), **facts)
        except OSError as error:
            log.warning("no log file of our own: %s", error)


def text_of(value: Any) -> str:
    return "|".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


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


def main(arguments: list[str]) -> int:
    """Run as splunkd asks; the exit code says whether all went well."""
    log_as_splunkd(LogConfig())
    trust()
    signal.signal(signal.SIGTERM, stop)
    script = SecureScoreInput()
    return script.run(arguments) or int(script.failed)
