"""The manual page and docs/commands.md, from what the command line says of itself. Pure; a test keeps both current."""

from collections.abc import Sequence

from connector.cli.describe import Argument, Command

FILES = (
    ("/etc/secure-score-connector/config.yaml", "the configuration of a host"),
    ("./securescore.yaml", "read where nothing else is named, and only where nobody else could have written it"),
)
CODES = (
    ("0", "done"),
    ("1", "something failed and is named on standard error"),
    ("2", "bad usage or configuration"),
    ("3", "partial: some tenants or sinks failed, the rest is done"),
)


def page(known: Sequence[Command], version: str, date: str) -> str:
    """securescore(1) in roff. Source: man-pages(7); man(7)."""
    lines = [
        f'.TH SECURESCORE 1 "{date}" "securescore {version}" "User Commands"',
        ".SH NAME",
        "securescore \\- Microsoft Secure Score as change events for a SIEM",
        ".SH SYNOPSIS",
        ".B securescore",
        "[\\fB\\-c\\fR \\fICONFIG\\fR] \\fICOMMAND\\fR [\\fIARGUMENT\\fR ...]",
        ".SH DESCRIPTION",
        "Polls Microsoft Secure Score, tells what changed, by how much and why, and delivers it to a SIEM.",
        "\\fB\\-c\\fR may stand anywhere; without it the variable SECURESCORE_CONFIG counts, then the files below.",
        ".SH COMMANDS",
    ]
    for command in known:
        lines += [f".SS {_roff(_usage(command))}", _roff(_sentence(command.summary))]
        for each in command.every_argument():
            lines += [".TP", f".B {_roff(_form(each))}", _roff(_meaning(each)) or "\\&"]
        for example in command.examples:
            lines += [".PP", ".EX", f"    {_roff(example)}", ".EE"]
    lines.append(".SH EXIT STATUS")
    lines += [line for code, words in CODES for line in (".TP", f".B {code}", _roff(words))]
    lines.append(".SH FILES")
    lines += [line for file, words in FILES for line in (".TP", f".I {_roff(file)}", _roff(words))]
    return "\n".join(lines) + "\n"


def markdown(known: Sequence[Command]) -> str:
    """docs/commands.md."""
    parts = [_HEAD]
    for command in known:
        parts += [f"## {command.name}\n", _sentence(command.summary) + "\n", f"```\n{_usage(command)}\n```\n"]
        rows = [f"| `{_cell(_form(each))}` | {_cell(_meaning(each))} |" for each in command.every_argument()]
        if rows:
            parts.append("\n".join(["| argument | meaning |", "|---|---|", *rows]) + "\n")
        if command.examples:
            parts.append("```sh\n" + "\n".join(command.examples) + "\n```\n")
    return "\n".join(parts)


def _usage(command: Command) -> str:
    actions = [" | ".join(inner.name for inner in command.inner)] if command.inner else []
    positionals = [
        " | ".join(each.choices) if each.choices else f"[{each.value}]"
        for each in command.every_argument()
        if not each.flags
    ]
    return " ".join(["securescore", command.name, *actions, *positionals])


def _form(each: Argument) -> str:
    return " ".join(filter(None, (", ".join(each.flags), each.value)))


def _meaning(each: Argument) -> str:
    words = [each.help, f"one of {', '.join(each.choices)}" if each.choices and "|" not in each.help else ""]
    return "; ".join(filter(None, words))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _roff(text: str) -> str:
    """Text as it stands in a line of roff: backslash and hyphen escaped, no leading control character."""
    made = text.replace("\\", "\\e").replace("-", "\\-").replace("\n", " ")
    return "\\&" + made if made[:1] in (".", "'") else made


_HEAD = """# Every command

`securescore COMMAND --help` says the same in a terminal, and so does `man securescore` where the host package is
installed. This page is made from the command line itself. Completion:

```sh
source <(securescore completion bash)
securescore completion zsh > "${fpath[1]}/_securescore"
securescore completion fish | source
```

`-c CONFIG` may stand anywhere; without it `SECURESCORE_CONFIG` counts, then `/etc/secure-score-connector/config.yaml`,
then `./securescore.yaml` where nobody else could have written it. Exit codes: 0 done; 1 something failed and is named;
2 bad usage or configuration; 3 partial.
"""
