"""A sink of the configuration → that sink and its mapping, ready for a delivery loop, or what keeps it from starting.

The one way to them: the start, a reload and `check` ask here, so that they cannot disagree. Nothing is sent, and the
store is not known.
"""

import logging
from collections import abc
from collections.abc import Sequence

from attrs import evolve, frozen

from connector.config.secrets import resolve, resolve_options, resolve_url
from connector.config.values import Config, NetworkConfig, SinkConfig, TenantConfig, takes_tenant
from connector.errors import ConfigError, PluginError
from connector.mapping.load import load_mapping
from connector.mapping.render import Mapping
from connector.model import Digest
from connector.plugins.guards import BrokenSink, guarded_sink
from connector.plugins.installed import Plugin, plugin
from connector.ports import Sink
from connector.registry import SINKS, SinkModule, digest_of, sink_module

log = logging.getLogger("securescore.deliver")


@frozen
class Prepared:
    """What became of one entry under `sinks`: a sink and its mapping, or `problems` that the operator must correct.

    A plug-in that cannot serve (`fault`) is no problem of the others: a BrokenSink stands for it. `routes` are the keys
    that tenants may have of their own here. `digest`: when what has gathered is offered; at once where there is none.
    """

    config: SinkConfig
    sink: Sink | None = None
    mapping: Mapping | None = None
    routes: tuple[str, ...] = ()
    digest: Digest | None = None
    problems: tuple[str, ...] = ()
    hint: str = ""
    fault: PluginError | None = None


def prepare(sink_config: SinkConfig, config: Config, ready: Sink | None = None) -> Prepared:
    """Build one sink and load its mapping; `ready` is a sink that only the caller could make.

    Never raises for what the configuration or a plug-in does; whoever asks closes the sink.
    """
    errors: list[ConfigError] = []
    sink = mapping = None
    routes: tuple[str, ...] = ()
    digest: Digest | None = None
    try:
        mapping = _mapping(sink_config, config.base_dir)
    except ConfigError as error:
        errors.append(error)
    try:
        if ready is None:
            module = _module(sink_config.kind)
            routes = tuple(getattr(module, "ROUTES", ()))
            sink = _build(module, sink_config, config.tenants)
            digest = digest_of(sink_config.kind, sink_config.options)
        else:
            sink = ready
    except ConfigError as error:
        errors.append(error)
    ours = [error for error in errors if not isinstance(error, PluginError)]
    if ours:
        problems = tuple(problem for error in ours for problem in error.problems)
        hint = next((error.hint for error in ours if error.hint), "")
        return Prepared(sink_config, sink, problems=problems, hint=hint)
    for fault in errors:
        assert isinstance(fault, PluginError)
        log.error("sink.broken", extra={"sink": sink_config.name, "error": fault.what, "hint": fault.hint})
        broken = BrokenSink(sink_config.name, fault, sink)
        return Prepared(sink_config, broken, mapping or load_mapping("cloudevents"), fault=fault)
    return Prepared(sink_config, sink, mapping, routes, digest)


def refuse(prepared: Sequence[Prepared]) -> None:
    """Raise one ConfigError for everything that the operator must correct, if there is anything."""
    problems = [f"sinks.{p.config.name}: {problem}" for p in prepared for problem in p.problems]
    if problems:
        raise ConfigError(problems, next((p.hint for p in prepared if p.hint), ""))


async def check_sinks(config: Config) -> None:
    """Prepare every sink of a configuration and throw it away. Raises one ConfigError for all problems."""
    prepared = [prepare(sink, config) for sink in config.sinks]
    for one in prepared:
        if one.sink is not None:
            await one.sink.close()
    refuse(prepared)


def build_sink(config: SinkConfig, tenants: Sequence[TenantConfig] = ()) -> Sink:
    """The sink of one entry, its secrets resolved now. Raises ConfigError, PluginError for the fault of a plug-in.

    A sink with ROUTES is told what those of its tenants that have one of these keys have of their own.
    """
    return _build(_module(config.kind), config, tenants)


def _module(kind: str) -> SinkModule:
    module = sink_module(kind)
    if module is None:
        raise ConfigError([f"kind {kind!r} is not part of this version"], f"kinds: {', '.join(SINKS)}")
    return module


def _mapping(config: SinkConfig, base_dir: str) -> Mapping:
    if written := config.mapping or config.format:
        return load_mapping(written, base_dir)
    default = _module(config.kind).FORMAT
    try:
        return load_mapping(default)
    except ConfigError as error:
        if (found := _plugin(config.kind)) is None:
            raise
        raise PluginError([f"{found}: its FORMAT: {p}" for p in error.problems], found.remedy) from error


def _plugin(kind: str) -> Plugin | None:
    return None if kind in SINKS else plugin("sink", kind)


def _build(module: SinkModule, config: SinkConfig, tenants: Sequence[TenantConfig]) -> Sink:
    options = resolve_options(config.options, module.OPTIONS)
    if config.stream_targets:
        options["streams"] = config.stream_targets
    keys: Sequence[str] = getattr(module, "ROUTES", ())
    routes = {t.name: own for t in tenants if takes_tenant(config, t) and (own := _route(t, keys))}

    def build() -> Sink:
        network = resolved_network(config.network)
        if not keys:
            return module.build(config.name, options, network)
        return module.build(config.name, options, network, routes)

    found = _plugin(config.kind)
    return build() if found is None else guarded_sink(found, config.name, build)


def _route(tenant: TenantConfig, keys: abc.Collection[str]) -> dict[str, str]:
    """A tenant's own values of a sink's keys, its token resolved."""
    own = {key: value for key, value in tenant.overrides.items() if key in keys}
    if "token" in own:
        own["token"] = resolve(own["token"])
    return own


def resolved_network(network: NetworkConfig) -> NetworkConfig:
    """The network setting with the proxy's credentials in place."""
    if network.proxy in (None, "env"):
        return network
    return evolve(network, proxy=resolve_url(str(network.proxy)))
