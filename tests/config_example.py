"""A configuration that uses every part of the contract, and tables of sink options as sinks declare them."""

from collections.abc import Mapping
from typing import Any

from connector.config.parse import parse
from connector.config.values import Config
from connector.model import STREAMS
from connector.options import LIVE, Option

KINDS: Mapping[str, Mapping[str, Option]] = {
    "syslog": {
        **LIVE,
        "host": Option("host", required=True, doc="The receiver."),
        "port": Option("port", doc="Its port."),
        "transport": Option("enum", default="tls", choices=("tls", "tcp", "udp"), doc="How to get there."),
        "framing": Option("enum", default="octet", choices=("octet", "lf")),
        "header": Option("enum", default="rfc3164", choices=("rfc3164", "rfc5424")),
        "max_frame_bytes": Option("size", default=8096, minimum=480, maximum=1024 * 1024),
        "tls.ca_file": Option("path"),
        "tls.cert_file": Option("path"),
        "tls.key_file": Option("path"),
        "tls.key_password": Option("secret"),
        "tls.server_name": Option("host"),
    },
    "splunk_hec": {
        "url": Option("url", required=True, doc="The collector."),
        "token": Option("secret", required=True, doc="HEC token."),
        "index": Option("str", doc="Index."),
        "ack": Option("enum", default="auto", choices=("auto", "on", "off"), doc="Indexer acknowledgement."),
    },
    "sentinel": {
        "endpoint": Option("url", required=True, doc="Logs ingestion endpoint."),
        "rule_id": Option("str", required=True, doc="Immutable id of the data collection rule."),
        "auth": Option("auth", required=True, doc="Credential."),
        "streams": Option(
            "map",
            {name: f"Custom-SecureScore{name.capitalize()}_CL" for name in STREAMS},
            choices=STREAMS,
            doc="Which streams it gets, and the stream of the rule for each.",
        ),
    },
    "webhook": {
        **LIVE,
        "url": Option("url", required=True, secret=True, doc="Where to POST."),
        "secret": Option("secret", doc="Signing secret."),
        "headers": Option("map", doc="Further headers."),
        "batch_mode": Option("bool", default=True),
    },
    "file": {
        "path": Option("path", required=True, doc="File to append to; `-` is standard output."),
        "mode": Option("enum", default="0600", choices=("0600", "0640", "0644")),
    },
}

EXAMPLE = """\
state: {path: state.db, keep_days: 400, max_bytes: 4GiB}
raw:   {keep_days: 400}
poll:  {interval: 1h, backfill: 90d, language: en-US, concurrency: auto}
changes: {min_points: 0.5, min_share: 10%, min_score_points: 1.0, evidence: false, inventory: daily, catalogue: each,
          stale_after: 48h, suspicious_loss: 50%}
targets: {percent_min: 70, drop_points: 20, controls: [AdminMFAV2]}
exceptions: {review_after: 180d, comment_required: true}
network: {proxy: null, no_proxy: [], ca_file: null, timeout_s: 30}
graph:  {cloud: global}
tenants:
  - name: contoso
    tenant_id: 11111111-1111-1111-1111-111111111111
    labels: {customer: contoso}
    auth: {kind: client_secret, client_id: 22222222-2222-2222-2222-222222222222,
           client_secret: "${env:CONTOSO_SECRET}", expires_on: 2027-05-01}
    write_auth: {kind: certificate, client_id: 22222222-2222-2222-2222-222222222222, file: key.pem}
  - {name: lab, tenant_id: 33333333-3333-3333-3333-333333333333, source: files, path: ./exports}
defaults: {language: de-DE, auth: {kind: managed_identity}}
sinks:
  - {name: soc, kind: syslog, host: siem, port: 6514, transport: tls, format: cef, framing: octet, header: rfc3164,
     tls: {ca_file: ca.pem, cert_file: client.pem, key_file: client.key, server_name: siem.example}}
  - {name: splunk, kind: splunk_hec, url: "https://hec:8088", token: "${credential:hec}", index: security, ack: auto}
  - name: sentinel
    kind: sentinel
    endpoint: https://dce.ingest.monitor.azure.com
    rule_id: dcr-0123456789abcdef0123456789abcdef
    auth: {kind: managed_identity}
    streams: {score: Custom-SecureScoreDaily_CL, change: Custom-SecureScoreChange_CL}
  - {name: casb, kind: webhook, url: "https://hook.example/in", format: ocsf, secret: "${env:HOOK}"}
  - {name: archive, kind: file, path: ./events.jsonl, format: cloudevents, start: all, tenants: [cont*, tier=gold],
     include: ["control.*"], exclude: [control.added], min_severity: 3, mapping: ./own.yaml,
     batch: {max_records: 100, max_bytes: 1MiB}, ca_file: /etc/ca.pem, proxy: env}
health: {listen: "127.0.0.1:9464", heartbeat: 1h}
log: {level: info, format: json}
"""

TENANT_ID = "11111111-1111-1111-1111-111111111111"
CLIENT_ID = "22222222-2222-2222-2222-222222222222"


def minimal(**sections: Any) -> dict[str, Any]:
    """The least a configuration needs, with sections added or replaced."""
    return {
        "tenants": [{"name": "contoso", "tenant_id": TENANT_ID, "auth": {"kind": "managed_identity"}}],
        "sinks": [{"name": "archive", "kind": "file", "path": "events.jsonl"}],
        **sections,
    }


def parsed(raw: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Config:
    return parse(raw, sink_options=KINDS.get, base_dir="/srv", environ=environ)


NO_TENANT_ID = (
    "expected a GUID such as 8d3b8a1e-5c7f-4f7a-9c55-0a6d5e2f1b3c: Microsoft Entra tenant (directory) id; "
    "in the Entra admin center: Overview > Tenant ID"
)
"""What is said of a tenant_id that is none."""
