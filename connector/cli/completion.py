"""`securescore completion`: a script that completes commands, options and words in bash, zsh or fish."""

import argparse
from collections.abc import Sequence

from connector.cli.describe import Argument, Command, commands
from connector.cli.terminal import write_document


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="which shell reads the script")


def run(args: argparse.Namespace) -> int:
    write_document({"bash": bash, "zsh": zsh, "fish": fish}[args.shell](commands()))
    return 0


def bash(known: Sequence[Command]) -> str:
    """Source: the GNU Bash manual, "Programmable Completion"."""
    cases = "".join(
        f"    {command.name})\n"
        f'      values="{_values(command)}"\n'
        f'      words="{" ".join(_words(command))}"\n'
        f'      files="{" ".join(_file_flags(command))}" ;;\n'
        for command in known
    )
    return f"""# bash completion of securescore: source <(securescore completion bash)
_securescore() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="${{COMP_WORDS[COMP_CWORD-1]}}"
  local command="" word values="" words="" files="" n
  COMPREPLY=()
  for ((n = 1; n < COMP_CWORD; n++)); do
    word="${{COMP_WORDS[n]}}"
    case "$word" in
    -c | --config) ((n++)) ;;
    -*) ;;
    *) command="$word"; break ;;
    esac
  done
  case "$command" in
    "") words="{" ".join([*(command.name for command in known), "-c", "--config", "--help", "--version"])}" ;;
{cases}  esac
  case " -c --config $files " in *" $prev "*) COMPREPLY=($(compgen -f -- "$cur")); return ;; esac
  for word in $values; do
    if [ "${{word%%=*}}" = "$prev" ]; then
      word="${{word#*=}}"
      COMPREPLY=($(compgen -W "${{word//,/ }}" -- "$cur"))
      return
    fi
  done
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -o filenames -o default -F _securescore securescore
"""


def zsh(known: Sequence[Command]) -> str:
    """Source: the Z Shell manual, "Completion System", `_arguments` and `_describe`."""
    cases = "".join(
        f"    {command.name})\n      _arguments {' '.join(_zsh_argument(each) for each in _all(command))} ;;\n"
        for command in known
    )
    names = " ".join(_single(f"{command.name}:{_colons(command.summary)}") for command in known)
    return f"""#compdef securescore
# zsh completion of securescore: securescore completion zsh > "${{fpath[1]}}/_securescore"
_securescore() {{
  local context state state_descr line
  typeset -A opt_args
  _arguments -C '(-c --config)'{{-c,--config}}'[configuration file]:file:_files' '--version[show the version]' \\
    '1:command:->command' '*::argument:->argument'
  case "$state" in
  command)
    local -a known=({names})
    _describe command known ;;
  argument)
    case "$words[1]" in
{cases}    esac ;;
  esac
}}
if [ "$funcstack[1]" = "_securescore" ]; then _securescore "$@"; else compdef _securescore securescore; fi
"""


def fish(known: Sequence[Command]) -> str:
    """Source: the fish documentation, `complete`."""
    lines = [
        "# fish completion of securescore: securescore completion fish | source",
        "complete -c securescore -s c -l config -r -F -d 'configuration file'",
        "complete -c securescore -f -n __fish_use_subcommand",
    ]
    for command in known:
        lines.append(
            f"complete -c securescore -f -n __fish_use_subcommand -a {command.name} -d {_single(command.summary)}"
        )
        seen = f"-n '__fish_seen_subcommand_from {command.name}'"
        for each in _all(command):
            if not each.flags:
                if each.choices:
                    lines.append(f"complete -c securescore -f {seen} -a '{' '.join(each.choices)}'")
                continue
            flags = " ".join(f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in each.flags)
            takes = " -r -F" if each.is_file else " -x" if each.value else ""
            words = f" -a '{' '.join(each.choices)}'" if each.choices else ""
            lines.append(f"complete -c securescore {seen} {flags}{takes}{words} -d {_single(each.help)}")
    return "\n".join(lines) + "\n"


def _all(command: Command) -> list[Argument]:
    """Every argument of a command; where there are commands below it, their names are one."""
    names = Argument((), "action", "", tuple(inner.name for inner in command.inner))
    return [*([names] if command.inner else []), *command.every_argument()]


def _words(command: Command) -> list[str]:
    options = [flag for each in _all(command) for flag in each.flags]
    return [*(word for each in _all(command) if not each.flags for word in each.choices), *options, "--help"]


def _file_flags(command: Command) -> list[str]:
    return [flag for each in _all(command) if each.is_file for flag in each.flags]


def _values(command: Command) -> str:
    """--flag=word,word for each option of few words."""
    return " ".join(f"{flag}={','.join(each.choices)}" for each in _all(command) if each.choices for flag in each.flags)


def _zsh_argument(each: Argument) -> str:
    follows = "_files" if each.is_file else f"({' '.join(each.choices)})" if each.choices else ""
    if not each.flags:
        return _single(f"{'*' if each.many else ''}:{_colons(each.value)}:{follows or ' '}")
    value = f":{_colons(each.value)}:{follows or ' '}" if each.value else ""
    told = f"[{each.help.replace('[', '(').replace(']', ')')}]"
    return " ".join(_single(f"*{flag}{told}{value}") for flag in each.flags)


def _colons(text: str) -> str:
    return text.replace(":", "\\:")


def _single(text: str) -> str:
    """A word in single quotes, for any of the shells: what would end it is left out."""
    return "'" + text.replace("\\'", "").replace("'", "’") + "'"
