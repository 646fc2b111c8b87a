"""Enough of Azure Resource Manager to deploy a template on paper: expressions, conditions, copies, nested templates.

Functions are those of Microsoft Learn, "ARM template functions", as far as ours are used; an unknown one is an error.
What only Azure knows (`reference`) is made up by the test. No assertions.
"""

import hashlib
import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from attrs import Factory, define, evolve, field

SUBSCRIPTION = "99999999-0000-4000-8000-000000000000"
GROUP = "rg-securescore"
_TOKEN = re.compile(r"\s*(?:'((?:[^']|'')*)'|(-?\d+)|([A-Za-z][A-Za-z0-9]*)|(.))")


Later = Callable[[], Any]
"""A value that is worked out when it is asked for: of `if`, only the branch that is taken is."""


class Wrong(Exception):
    """The template would be refused."""


def resource_id(subscription: str, group: str, kind: str, *names: str) -> str:
    provider, *types = kind.split("/")
    if len(types) != len(names):
        raise Wrong(f"resourceId: {kind} takes {len(types)} names, not {names}")
    path = "/".join(f"{t}/{n}" for t, n in zip(types, names, strict=True))
    return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{provider}/{path}"


@define
class Deployment:
    """One template with its parameters. `used` remembers which parameters and variables an expression asked for."""

    template: Mapping[str, Any]
    given: Mapping[str, Any]
    reference: Callable[[str], Any]
    cloud: str = "AzureCloud"
    subscription: str = SUBSCRIPTION
    group: str = GROUP
    used: set[str] = Factory(set)
    index: int | None = None
    _values: dict[str, Any] = field(factory=dict)
    _bound: dict[str, Any] = field(factory=dict)

    # ------------------------------------------------------------------------------------------------ expressions

    def value(self, raw: Any) -> Any:
        """A JSON value with every expression in it worked out; properties that become null are left out."""
        if isinstance(raw, str):
            if raw.startswith("[") and raw.endswith("]") and not raw.startswith("[["):
                return self._expression(raw[1:-1])
            return raw
        if isinstance(raw, Mapping):
            made = {self.value(key): self.value(item) for key, item in raw.items()}
            return {key: item for key, item in made.items() if item is not None}
        return [self.value(item) for item in raw] if isinstance(raw, list) else raw

    def _expression(self, text: str) -> Any:
        tokens = [match.groups() for match in _TOKEN.finditer(text)]
        found, end = self._parse([*tokens, (None, None, None, "")], 0)
        if end != len(tokens):
            raise Wrong(f"cannot be read: {text[:200]}")
        return found()

    def _parse(self, tokens: list[tuple[Any, ...]], at: int) -> tuple[Later, int]:
        """What the tokens from `at` on mean, not yet worked out, and where they end."""
        string, number, name, sign = tokens[at]
        if string is not None:
            found, at = partial(_same, string.replace("''", "'")), at + 1
        elif number is not None:
            found, at = partial(_same, int(number)), at + 1
        elif name is not None and tokens[at + 1][3] == "(":
            arguments, at = [], at + 2
            while tokens[at][3] != ")":
                one, at = self._parse(tokens, at)
                arguments.append(one)
                if tokens[at][3] == ",":
                    at += 1
            found, at = partial(self._call, name, arguments), at + 1
        else:
            raise Wrong(f"unexpected {name or sign or 'end'!r}")
        while tokens[at][3] in (".", "["):
            if tokens[at][3] == ".":
                found, at = partial(_inside, found, partial(_same, tokens[at + 1][2])), at + 2
                continue
            key, end = self._parse(tokens, at + 1)
            if tokens[end][3] != "]":
                raise Wrong("a bracket is not closed")
            found, at = partial(_inside, found, key), end + 1
        return found, at

    def _call(self, name: str, arguments: list[Later]) -> Any:
        if name == "if":
            return arguments[1]() if arguments[0]() else arguments[2]()
        if name == "lambda":
            return arguments[0](), arguments[1]
        own = getattr(self, f"_{name}", None)
        values = [one() for one in arguments]
        if own is not None:
            return own(*values)
        if name not in PURE:
            raise Wrong(f"unknown function {name}")
        return PURE[name](*values)

    def _parameters(self, name: str) -> Any:
        self.used.add(f"parameters:{name}")
        declared = self.template["parameters"]
        if name not in declared:
            raise Wrong(f"undefined parameter {name}")
        if name in self.given:
            return self.given[name]
        if "defaultValue" not in declared[name]:
            raise Wrong(f"parameter {name} is not given")
        return self.value(declared[name]["defaultValue"])

    def _variables(self, name: str) -> Any:
        self.used.add(f"variables:{name}")
        if name not in self.template.get("variables", {}):
            raise Wrong(f"undefined variable {name}")
        if name not in self._values:
            self._values[name] = self.value(self.template["variables"][name])
        return self._values[name]

    def _map(self, values: list[Any], over: tuple[str, Later]) -> list[Any]:
        found = []
        for value in values:
            self._bound[over[0]] = value
            found.append(over[1]())
        return found

    def _lambdaVariables(self, name: str) -> Any:  # noqa: N802 - the functions' own names
        return self._bound[name]

    def _resourceId(self, kind: str, *names: str) -> str:  # noqa: N802
        return resource_id(self.subscription, self.group, kind, *names)

    def _subscriptionResourceId(self, kind: str, name: str) -> str:  # noqa: N802
        provider, _, types = kind.partition("/")
        return f"/subscriptions/{self.subscription}/providers/{provider}/{types}/{name}"

    def _resourceGroup(self) -> Any:  # noqa: N802
        return {"name": self.group, "location": "westeurope", "id": f"/subscriptions/{self.subscription}/{self.group}"}

    def _subscription(self) -> Any:
        return {"subscriptionId": self.subscription, "tenantId": "11111111-1111-4111-8111-111111111111"}

    def _environment(self) -> Any:
        suffix = {"AzureCloud": "core.windows.net", "AzureUSGovernment": "core.usgovcloudapi.net"}[self.cloud]
        return {"name": self.cloud, "suffixes": {"storage": suffix}}

    def _copyIndex(self) -> int:  # noqa: N802
        if self.index is None:
            raise Wrong("copyIndex outside a copy")
        return self.index

    def _reference(self, identity: str, version: str = "", full: str = "") -> Any:
        if not identity.startswith("/subscriptions/") or not version or full:
            raise Wrong("reference: give the resource id and an API version")
        return self.reference(identity)

    # -------------------------------------------------------------------------------------------------- resources

    def resources(self) -> Iterator[dict[str, Any]]:
        """Every resource that is deployed, worked out; those of nested templates too, each with its `id`."""
        for raw, made in self._copies():
            if not made.value(raw.get("condition", True)):
                continue
            if raw["type"] == "Microsoft.Resources/deployments":
                yield from made.nested(raw)
                continue
            found = made.value({k: v for k, v in raw.items() if k not in ("copy", "condition")})
            names = found["name"].split("/")
            scope = found.get("scope")
            own = (
                resource_id(made.subscription, made.group, raw["type"], *names) if scope is None else f"{scope}/{names}"
            )
            yield {**found, "id": own}

    def known(self) -> set[str]:
        """What `dependsOn` may name: ids, names and copies of this template, deployed or not."""
        found = set()
        for raw, made in self._copies():
            name = made.value(raw["name"])
            found |= {name, raw.get("copy", {}).get("name", name)}
            if "scope" not in raw:
                subscription = made.value(raw.get("subscriptionId", made.subscription))
                group = made.value(raw.get("resourceGroup", made.group))
                found.add(resource_id(subscription, group, raw["type"], *name.split("/")))
        return found

    def depends(self) -> set[str]:
        return {one for raw, made in self._copies() for one in made.value(raw.get("dependsOn", []))}

    def outputs(self) -> dict[str, Any]:
        return {name: self._output(output) for name, output in self.template["outputs"].items()}

    def _output(self, output: Mapping[str, Any]) -> Any:
        if "copy" not in output:
            return self.value(output["value"])
        count = self.value(output["copy"]["count"])
        each = [evolve(self, index=index, values=self._values) for index in range(count)]
        return [one.value(output["copy"]["input"]) for one in each]

    def nested(self, raw: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        inner = raw["properties"]
        if inner["expressionEvaluationOptions"] != {"scope": "inner"}:
            raise Wrong("a nested template must be of inner scope: its expressions would be the outer one's")
        given = {name: self.value(each["value"]) for name, each in inner["parameters"].items()}
        below = Deployment(
            inner["template"],
            given,
            self.reference,
            self.cloud,
            self.value(raw.get("subscriptionId", self.subscription)),
            self.value(raw.get("resourceGroup", self.group)),  # without: of the subscription
        )
        if unknown := given.keys() ^ inner["template"]["parameters"].keys():
            raise Wrong(f"nested parameters: {unknown}")
        yield from below.resources()
        if missing := below.depends() - below.known():
            raise Wrong(f"dependsOn names what is not there: {missing}")
        if unused := {f"parameters:{name}" for name in given} - below.used:
            raise Wrong(f"unused in a nested template: {unused}")

    def _copies(self) -> "Iterator[tuple[Mapping[str, Any], Deployment]]":
        for raw in self.template["resources"]:
            if "copy" not in raw:
                yield raw, self
                continue
            for index in range(self.value(raw["copy"]["count"])):
                yield raw, evolve(self, index=index, values=self._values)


def _same(value: Any) -> Any:
    return value


def _inside(value: Later, key: Later) -> Any:
    whole, step = value(), key()
    try:
        return whole[step]
    except (KeyError, IndexError, TypeError):
        raise Wrong(f"there is no {step!r} in {str(whole)[:100]}") from None


def _union(*parts: Any) -> Any:
    if isinstance(parts[0], list):
        return [one for n, part in enumerate(parts) for one in part if all(one not in p for p in parts[:n])]
    return {key: item for part in parts for key, item in part.items()}


def _create_object(*pairs: Any) -> dict[str, Any]:
    if len(pairs) % 2:
        raise Wrong("createObject: a key without a value")
    return {pairs[n]: pairs[n + 1] for n in range(0, len(pairs), 2)}


def _digest(*parts: str) -> str:
    return hashlib.sha256("-".join(parts).encode()).hexdigest()


PURE: Mapping[str, Callable[..., Any]] = {
    "extensionResourceId": lambda scope, kind, *names: f"{scope}/providers/{kind}/{'/'.join(names)}",
    "format": lambda text, *values: re.sub(r"\{(\d+)\}", lambda m: str(values[int(m[1])]), text).replace("{{", "{"),
    "empty": lambda value: value in ("", None, [], {}),
    "equals": lambda a, b: a == b,
    "and": lambda *values: all(values),
    "not": lambda value: not value,
    "split": lambda text, by: text.split(by),
    "join": lambda parts, by: by.join(parts),
    "take": lambda value, count: value[:count],
    "toLower": lambda text: text.lower(),
    "length": len,
    "items": lambda value: [{"key": key, "value": value[key]} for key in sorted(value)],
    "json": json.loads,
    "union": _union,
    "createObject": _create_object,
    "createArray": lambda *values: list(values),
    "uniqueString": lambda *parts: _digest(*parts)[:13],
    "guid": lambda *parts: re.sub(r"(.{8})(.{4})(.{4})(.{4})(.{12}).*", r"\1-\2-\3-\4-\5", _digest(*parts)),
    "cidrSubnet": lambda net, bits, n: str(list(ipaddress.ip_network(net).subnets(new_prefix=bits))[n]),
}
