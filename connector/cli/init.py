"""`securescore init`: writes a commented configuration; prints app registration and consent steps.

Contacts nobody unless asked to try the answers (init_trial.py): the steps are for the operator. Reading needs one
application permission of Microsoft Graph, with admin consent; nothing here asks for the right to write.
"""

import argparse
import json
import os
import textwrap
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path

from attrs import evolve, frozen

from connector.cli.terminal import ask, say, somebody_is_there
from connector.config.keys import TOP
from connector.config.read import PLACEHOLDER, Reader
from connector.durable import creating, replacing
from connector.errors import ConfigError, PluginError
from connector.net.clouds import CLOUDS
from connector.options import Init, Option
from connector.plugins.installed import plugin_names
from connector.registry import SINKS, sink_module

PERMISSION = "SecurityEvents.Read.All"
ROLE_ID = "bf394140-e372-4bf9-a898-299cfc7564e5"
GRAPH_APP_ID = "00000003-0000-0000-c000-000000000000"
PUBLISHER_ROLE = "Monitoring Metrics Publisher"
HOST_FOLDER = "/etc/secure-score-connector"

FIRST = "file"
"""The kind of sink that needs nothing else."""


@frozen
class Answers:
    """What the configuration is written from; None = not known yet, a placeholder is written."""

    sink: str | None = None
    name: str | None = None
    tenant_id: str | None = None
    client_id: str | None = None
    cloud: str | None = None
    address: str | None = None
    transport: str | None = None
    port: str | None = None
    proxy: str | None = None


PROXY_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
"""Where an environment names the proxy to hosts that are reached by https, as all of Microsoft's are."""
SETTINGS = ("transport", "port")
"""What some kinds of sinks have beside their address; see `Init.settings`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant-id", metavar="GUID", help="Microsoft Entra tenant (directory) id")
    parser.add_argument("--client-id", metavar="GUID", help="application (client) id, once the app is registered")
    parser.add_argument("--name", help="our short name for the tenant")
    parser.add_argument("--cloud", choices=CLOUDS, help="global (also GCC), usgov (GCC High) or dod")
    parser.add_argument("--sink", choices=kinds(), help="where events go first; more can be added")
    parser.add_argument("--address", help="host, URL or path of the sink")
    parser.add_argument("--transport", help="how a syslog receiver or a mail server is reached, such as tls or tcp")
    parser.add_argument("--port", help="port of a syslog receiver or a mail server, unless it is the transport's own")
    proxy = "proxy of every HTTP connection, or env: what the environment names (default where it names one)"
    parser.add_argument("--proxy", metavar="URL|env", help=proxy)
    parser.add_argument("--try", dest="trial", action="store_true", help="try the directory and the sink now")
    parser.add_argument("--out", metavar="FILE", help="where to write; default ./securescore.yaml, or what -c names")
    parser.add_argument("--force", action="store_true", help="replace an existing file")


def run(args: argparse.Namespace) -> int:
    out = args.out or args.config or "securescore.yaml"
    if not args.force and os.path.lexists(out):
        raise ConfigError([f"{out}: exists already"], "name another file with --out, or replace it with --force")
    known = (args.sink, args.name, args.tenant_id, args.client_id, args.cloud, args.address)
    given = Answers(*known, args.transport, args.port, args.proxy or surroundings_proxy(os.environ, out))
    check_answers(given)
    interactive = somebody_is_there()
    answers = asked(given, ask) if interactive else given
    write(out, configuration(answers, out), replace=args.force)
    wrong = (args.trial or (interactive and wanted(ask))) and tried(answers, out)
    say(steps(answers, out), end="")
    return 1 if wrong and args.trial else 0


def wanted(ask: Callable[[str], str]) -> bool:
    """Whether the answers are to be tried now."""
    return ask("try the directory and the sink now? [Y/n]: ").strip().lower() in ("", "y", "yes")


def tried(answers: Answers, out: str) -> bool:
    """Try what was answered, and show what came of it: whether something is wrong."""
    from connector.cli import init_trial  # noqa: PLC0415 - who only writes loads no client
    from connector.cli.findings import listed  # noqa: PLC0415

    ids = (answers.tenant_id or init_trial.STAND_IN, answers.client_id or init_trial.STAND_IN)
    text = configuration(evolve(answers, tenant_id=ids[0], client_id=ids[1]), out)
    login = CLOUDS[answers.cloud or "global"].login
    findings = init_trial.tried(text, out, login, answers.tenant_id)
    listed(findings)
    say()
    return any(finding.ok is False for finding in findings)


def kinds() -> list[str]:
    """The kinds of sinks that can be written: those whose module says how."""
    return [kind for kind in (*SINKS, *plugin_names("sink")) if init_of(kind) is not None]


def init_of(kind: str) -> Init | None:
    """What a kind of sink asks and writes; None for one that does not say."""
    try:
        found: Init | None = getattr(sink_module(kind), "INIT", None)
    except PluginError:
        return None
    return found


# ------------------------------------------------------------------------------------------------------------ answers


def check_answers(answers: Answers) -> None:
    """Raises ConfigError for flags that cannot be right, all at once."""
    names = ("tenant_id", "client_id", "name", "address", "proxy", *SETTINGS)
    flags = {name: value for name in names if (value := getattr(answers, name))}
    wrong = {name: fault(name, value, answers) for name, value in flags.items()}
    problems = [f"--{name.replace('_', '-')}: {problem}" for name, problem in wrong.items() if problem]
    if problems:
        raise ConfigError(problems)


def fault(name: str, value: str, answers: Answers) -> str:
    """What is wrong with one answer, in the configuration's own words; empty when it is right."""
    kind = answers.sink or FIRST
    if name in SETTINGS and name not in _init(kind).settings:
        having = [each for each in kinds() if name in _init(each).settings]
        return f"only for --sink {' or '.join(having)}, not {kind}"
    reader = Reader(lambda _: None)
    reader.value(_option(name, kind), value, (name,))
    if name == "name" and not reader.problems:
        reader.check_name((name,), value)
    problem = "; ".join(problem.text.partition(": ")[2] for problem in reader.problems)
    with_port = problem and name == "address" and "port" in _init(kind).settings and ":" in value
    return f"{problem}; the port stands apart from it (--port)" if with_port else problem


def _option(name: str, kind: str) -> Option:
    """The type of an answer."""
    if name in SETTINGS or name == "address":
        module = sink_module(kind)
        assert module is not None
        found: Option = module.OPTIONS[_init(kind).key if name == "address" else name]
        return found
    if name == "proxy":
        return TOP["network.proxy"]
    return Option("guid" if name.endswith("_id") else "str")


def surroundings_proxy(environ: Mapping[str, str], out: str) -> str | None:
    """What the environment of this command says of a proxy, as the configuration would; None where it names none of
    use.

    The service has another environment: for it the address itself is written, without the user and password in it.
    """
    found = next((environ[name] for name in PROXY_VARIABLES if environ.get(name)), "")
    scheme, apart, rest = found.rpartition("://")
    if not found or scheme.lower() not in ("", "http", "https"):
        return None
    host = rest.rpartition("@")[2]
    return f"{scheme if apart else 'http'}://{host}" if for_service(out) else "env"


def asked(given: Answers, ask: Callable[[str], str]) -> Answers:
    """The answers with what is missing asked for, again and again until it can be right; Enter takes the default."""
    answers = given
    questions: tuple[tuple[str, str], ...] = (
        ("tenant_id", "Microsoft Entra tenant (directory) id [later]"),
        ("client_id", "application (client) id, if the app is registered [later]"),
        ("name", "your short name for the tenant [main]"),
        ("sink", f"where events go: {', '.join(kinds())} [{FIRST}]"),
    )
    for name, question in questions:
        answers = _answer(answers, name, question, ask)
    kind = answers.sink or FIRST
    sink = _init(kind)
    answers = _answer(answers, "address", f"{sink.question} [{sink.example}]", ask)
    for name, question in sink.settings.items():
        usual = _option(name, kind).default or "the usual one"
        answers = _answer(answers, name, f"{question} [{usual}]", ask)
    return answers


def _answer(answers: Answers, name: str, question: str, ask: Callable[[str], str]) -> Answers:
    while getattr(answers, name) is None:
        value = ask(f"{question}: ").strip()
        if not value:
            break
        problem = "" if name == "sink" else fault(name, value, answers)
        if name == "sink" and value not in kinds():
            problem = f"one of {', '.join(kinds())}"
        if not problem:
            return evolve(answers, **{name: value})
        say(f"  {problem}")
    return answers


# ------------------------------------------------------------------------------------------------------ configuration


def configuration(answers: Answers, out: str) -> str:
    """The text of a commented configuration. Under /etc it fits the service, elsewhere a folder to try it in."""
    service = for_service(out)
    kind = answers.sink or FIRST
    sink = _init(kind)
    home = "/var/lib/secure-score-connector/" if service else "./"
    a_file = _option("address", kind).type == "path"
    address = answers.address or (sink.example.replace("./", home) if a_file else sink.example)
    entry = sink.entry.format(
        address=_quoted(address) + ("" if a_file else _to_fill(answers.address)),
        secret=_Secrets(service=service),
        tenant_id=(answers.tenant_id or PLACEHOLDER).lower(),
        client_id=(answers.client_id or PLACEHOLDER).lower(),
        **{name: _line(name, getattr(answers, name), _option(name, kind)) for name in sink.settings},
    )
    return _TOP.format(
        schema=resources.files("connector.config") / "config.schema.json",
        name=_quoted(answers.name or "main"),
        tenant_id=(answers.tenant_id or PLACEHOLDER).lower() + _to_fill(answers.tenant_id),
        client_id=(answers.client_id or PLACEHOLDER).lower() + _to_fill(answers.client_id),
        secret=_quoted(reference("client_secret", service=service)),
        secret_help="LoadCredential of the unit" if service else "export SECURESCORE_CLIENT_SECRET=…",
        cloud=answers.cloud or "global",
        state=_quoted(f"{home}state.db"),
        mode=', mode: "0640"' if service else "",
        readers="   # 0640: group securescore may read" if service else "",
        sink=textwrap.indent(entry, "    ").replace("    ", "  - ", 1),
        network=_NO_PROXY if answers.proxy is None else _PROXY.format(proxy=_quoted(answers.proxy)),
    )


def _init(kind: str) -> Init:
    found = init_of(kind)
    assert found is not None  # `kinds` saw to it
    return found


def _line(name: str, answer: str | None, option: Option) -> str:
    """A setting as it is answered, else its default; a comment where the sink itself knows what is usual."""
    value = answer or option.default
    return f"# {name}: …" if value is None else f"{name}: {value}"


@frozen
class _Secrets:
    """`{secret[NAME]}` in an entry: a reference to the secret of that name."""

    service: bool

    def __getitem__(self, name: str) -> str:
        return _quoted(reference(name, service=self.service))


def reference(name: str, *, service: bool) -> str:
    """Where a secret is kept: with the service's credentials, or in the environment."""
    return f"${{credential:{name}}}" if service else f"${{env:SECURESCORE_{name.upper()}}}"


def _quoted(text: str) -> str:
    """JSON's strings are YAML's double-quoted ones."""
    return json.dumps(text, ensure_ascii=False)


def _to_fill(answer: str | None) -> str:
    return "" if answer else "   # <-- fill in"


_TOP = """\
# yaml-language-server: $schema={schema}
# Configuration of Secure Score Connector. What is commented out shows the default or a possibility.
# Durations: 30s, 15m, 1h, 90d. Sizes: 900kB, 4GiB. Secrets are references, never literal:
# ${{env:NAME}}, ${{file:/path}} (mode 0600) or ${{credential:name}} (systemd LoadCredential).

tenants:
  - name: {name}
    tenant_id: {tenant_id}
    # labels: {{customer: contoso}}   # your own words; events carry them, sinks select by them
    auth:
      kind: client_secret
      client_id: {client_id}
      client_secret: {secret}   # {secret_help}
      # expires_on: 2027-05-01      # warns 30, 14, 7 and 1 days before
    # Better than a secret where it is possible:
    # auth: {{kind: certificate, client_id: …, file: /path/app.pem}}
    # auth: {{kind: managed_identity}}
    # auth: {{kind: federated, client_id: …, token_file: /path/token}}
# tenants_file: tenants.csv           # more tenants, one a row: name, tenant_id, cloud, language, label.customer …
# defaults: {{auth: {{…}}}}             # what every tenant has unless it says otherwise

graph: {{cloud: {cloud}}}               # global (also GCC) | usgov (GCC High) | dod

sinks:
{sink}
  # Any sink: streams: [score, inventory, change, health], start: now|backfill|all, tenants: [name*, label=value],
  #           include/exclude: [control.*], min_severity: 0-10, mapping: ./own.yaml

state: {{path: {state}{mode}, keep_days: 400, max_bytes: 4GiB}}{readers}
# raw: {{keep_days: 400}}               # evidence: each day's last complete responses; 0 = off
# poll: {{interval: 1h, backfill: 90d, language: en-US}}
# changes: {{min_points: 0.5, min_share: 10%, min_score_points: 1.0, inventory: daily, stale_after: 48h}}
# targets: {{percent_min: 70, drop_points: 20, controls: [AdminMFAV2]}}
# exceptions: {{review_after: 180d, comment_required: true}}
{network}
# health: {{listen: 127.0.0.1:9464, heartbeat: 1h}}
# log: {{level: info, format: console}}
"""

_NO_PROXY = "# network: {proxy: http://proxy.example:3128, no_proxy: [.internal], ca_file: /path/ca.pem, timeout_s: 30}"
_PROXY = """\
network: {{proxy: {proxy}}}   # env: as the environment says; else http://host:port, http://user:${{env:NAME}}@host:port
# and: no_proxy: [.internal], ca_file: /path/ca.pem, timeout_s: 30"""


def write(path: str, text: str, *, replace: bool) -> None:
    """Create the file with mode 0600, whole or not at all. Raises ConfigError when it exists or cannot be made."""
    try:
        with (replacing if replace else creating)(Path(path)) as stream:
            stream.write(text.encode("utf-8"))
    except FileExistsError as error:
        raise ConfigError(
            [f"{path}: exists already"], "name another file with --out, or replace it with --force"
        ) from error
    except OSError as error:
        raise ConfigError(
            [f"{path}: cannot be written: {error.strerror}"], "choose another place with --out"
        ) from error


# -------------------------------------------------------------------------------------------------------------- steps


def steps(answers: Answers, out: str) -> str:
    """What the operator does next, for the portal and for the az command line."""
    cloud = CLOUDS[answers.cloud or "global"]
    text = _STEPS.format(
        out=out,
        proxy="" if answers.proxy is None else _PROXY_SAID.format(proxy=_PROXIES.get(answers.proxy, answers.proxy)),
        portal=cloud.portal,
        az_cloud=cloud.az_name,
        login=cloud.login,
        tenant=(answers.tenant_id or "TENANT_ID"),
        client=(answers.client_id or "CLIENT_ID"),
        create="" if answers.client_id else _CREATE,
        fill="" if answers.tenant_id and answers.client_id else f"   Fill in the ids marked <-- in {out}.\n",
        keep=_KEEP_SERVICE if for_service(out) else _KEEP_SHELL,
        try_it=_TRY_SERVICE if for_service(out) else _TRY_SHELL.format(out=out),
        permission=PERMISSION,
        role=ROLE_ID,
        graph=GRAPH_APP_ID,
    )
    return text + (_SENTINEL.format(client=answers.client_id or "CLIENT_ID") if answers.sink == "sentinel" else "")


def for_service(out: str) -> bool:
    """True for a configuration in the service's own folder: state and secrets then live where its unit puts them."""
    return str(Path(out).absolute()).startswith(f"{HOST_FOLDER}/")


_STEPS = """\
Wrote {out} (mode 0600).
{proxy}
1. Register an application that may read Secure Score, in the portal {portal}
   App registrations > New registration: a name, accounts in this directory only
   (one app for many customers' tenants: accounts in any directory).
   API permissions > Add a permission > Microsoft Graph > Application permissions:
       {permission}   (role id {role}); nothing else is needed.
   API permissions > Grant admin consent.
   Certificates & secrets > New client secret, or, better, upload a certificate.

   The same with the az command line:
       az cloud set --name {az_cloud}
       az login --tenant {tenant} --allow-no-subscriptions
{create}       az ad app permission add --id {client} \\
           --api {graph} --api-permissions {role}=Role
       az ad sp create --id {client}
       az ad app permission admin-consent --id {client}
       az ad app credential reset --id {client} --display-name securescore --years 1 \\
           --query password --output tsv      # prints the secret, once

{fill}{keep}
2. Consent by an administrator of the tenant (in the app's own directory step 1 has done it):
   {login}/{tenant}/adminconsent?client_id={client}

3. See whether it works:
{try_it}"""
_PROXY_SAID = "Every HTTP connection goes through {proxy} (`network.proxy`).\n"
_PROXIES = {"env": "the proxy that the environment names"}
_TRY_SERVICE = """\
   sudo securescore check                 # names each fault with its remedy, until there is none
   sudo securescore check --send-test     # one test event for each alert rule, to every sink
   sudo systemctl enable --now securescore
   sudo securescore status
"""
_TRY_SHELL = """\
   securescore check -c {out}                 # names each fault with its remedy, until there is none
   securescore check -c {out} --send-test     # one test event for each alert rule, to every sink
   securescore once -c {out}
"""
_CREATE = """\
       az ad app create --display-name "Secure Score Connector" --sign-in-audience AzureADMyOrg \\
           --query appId --output tsv         # prints the CLIENT_ID
"""
_KEEP_SERVICE = f"""\
   Put the secret into {HOST_FOLDER}/client_secret (mode 0600); the unit loads it as a credential.
"""
_KEEP_SHELL = """\
   Keep the secret out of the file, in the shell that runs the connector:
       export SECURESCORE_CLIENT_SECRET='…'
"""
_SENTINEL = f"""
4. Let the app write to Sentinel: the role {PUBLISHER_ROLE} on the data collection rule.
   az role assignment create --assignee {{client}} --role '{PUBLISHER_ROLE}' --scope RULE_RESOURCE_ID
"""
