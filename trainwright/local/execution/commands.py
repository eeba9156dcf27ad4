"""What a container command is, read from its words alone.

Four things are told apart, because each is run in another way:

* A **lightweight component**: what kfp compiles `@dsl.component` to, a shell line that installs packages,
  then a shell program that writes the component's source to a file and runs `kfp.dsl.executor_main` on it
  (kfp/dsl/component_factory.py, kfp 2.0 to 2.17).
* A **launcher**: `python3 -u -m google_cloud_pipeline_components.container...`, what every official Google
  Cloud Pipeline Components op runs.
* Any other program behind a `pip install ... && "$0" "$@"` line, and
* a **plain command**.

The packages of a `pip install` line are taken out of the command, so that an environment that has them can be
found or made instead of changing the one that is there. A line that does more than install packages is left
as it is: it is then a plain command.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

_SHELLS = {"sh", "bash", "/bin/sh", "/bin/bash", "/usr/bin/bash"}
_PYTHONS = re.compile(r"(?:/usr(?:/local)?/bin/)?python(?:3(?:\.\d+)?)?")
_LAUNCHERS = "google_cloud_pipeline_components.container."

# Both blocks as kfp writes them (kfp/dsl/component_factory.py, 2.17.0): make sure that pip is there; work
# in a venv.
_ENSURE_PIP = re.compile(r'if ! \[ -x "\$\(command -v pip\)" \]; then\n.*?\nfi\n', re.DOTALL)
_USE_VENV = re.compile(
    r"\s*export PIP_DISABLE_PIP_VERSION_CHECK=1\s+tmp=\$\(mktemp -d\)\s+"
    r'python3 -m venv "\$tmp/venv" --system-site-packages\s+\. "\$tmp/venv/bin/activate"\s+'
)
# The module was kfp.components.executor_main up to kfp 2.0; its interface is the same.
_RUN_COMPONENT = re.compile(
    r'program_path=\$\(mktemp -d\) printf "%s" "\$0" > "\$program_path/ephemeral_component\.py" '
    r"(?:_KFP_RUNTIME=true )?python3 -m kfp\.(?:dsl|components)\.executor_main "
    r'--component_module_path "\$program_path/ephemeral_component\.py" "\$@"'
)

_FLAGS = {
    "-q", "-qq", "--quiet", "-U", "--upgrade", "--user", "--no-cache-dir", "--no-warn-script-location",
    "--disable-pip-version-check", "--no-input", "--prefer-binary", "--no-python-version-warning",
    "--break-system-packages",
}  # fmt: skip
_OPTIONS = {
    "--index-url": "index_urls",
    "-i": "index_urls",
    "--extra-index-url": "extra_index_urls",
    "--trusted-host": "trusted_hosts",
    "--find-links": "find_links",
    "-f": "find_links",
    "--root-user-action": "ignored",
}


@dataclass(frozen=True)
class Installation:
    """One `pip install` of a command.

    Args:
        requirements: As written: names with versions, paths or addresses of packages.
        dependencies: False for `--no-deps`.
        prereleases: True for `--pre`.
        index_urls, extra_index_urls, trusted_hosts, find_links: pip's options of those names.
    """

    requirements: tuple[str, ...]
    dependencies: bool = True
    prereleases: bool = False
    index_urls: tuple[str, ...] = ()
    extra_index_urls: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()


@dataclass(frozen=True)
class Component:
    """A lightweight component: the text of its module and what kfp's executor is called with."""

    source: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Launcher:
    """A module of Google Cloud Pipeline Components and its arguments."""

    module: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class PlainCommand:
    """Words to execute as they are; empty when only the image knows them."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class Command:
    """What is to be installed, then what is to be run."""

    program: Component | Launcher | PlainCommand
    installations: tuple[Installation, ...] = field(default=())


def understand(words: Sequence[str]) -> Command:
    """Reads a container's command followed by its arguments, placeholders resolved.

    Args:
        words: `command` and `args` of the container, as one sequence.

    Returns:
        What it is. Never fails: what is not recognised is a `PlainCommand` with all the words.
    """
    installations: tuple[Installation, ...] = ()
    rest = tuple(words)
    while found := _split_installation(rest):
        more, rest = found
        installations += more
    return Command(_program(rest), installations)


def _program(words: tuple[str, ...]) -> Component | Launcher | PlainCommand:
    if len(words) > 3 and _is_shell(words) and _RUN_COMPONENT.fullmatch(_one_line(words[2])):
        return Component(words[3], words[4:])
    if words and _PYTHONS.fullmatch(words[0]):
        options = [word for word in words[1:4] if word in ("-u", "-m")]
        after = 1 + len(options)
        if options[-1:] == ["-m"] and len(words) > after and words[after].startswith(_LAUNCHERS):
            return Launcher(words[after], words[after + 1 :])
    return PlainCommand(words)


def _is_shell(words: tuple[str, ...]) -> bool:
    return len(words) > 2 and words[0] in _SHELLS and re.fullmatch(r"-[eux]*c[eux]*", words[1]) is not None


def _one_line(script: str) -> str:
    return " ".join(script.replace("\\\n", " ").split())


def _split_installation(words: tuple[str, ...]) -> tuple[tuple[Installation, ...], tuple[str, ...]] | None:
    """The installations of `sh -c "pip install … && [exec] $0 $@" PROGRAM…`, and PROGRAM, or None."""
    if len(words) < 4 or not _is_shell(words):
        return None
    steps = _steps(_USE_VENV.sub(" ", _ENSURE_PIP.sub("", words[2])))
    if not steps or steps[-1] not in (["$0", "$@"], ["exec", "$0", "$@"]):
        return None
    installations = [_installation(step) for step in steps[:-1]]
    if not installations or None in installations:
        return None
    return tuple(found for found in installations if found), words[3:]


def _steps(script: str) -> list[list[str]] | None:
    """The commands of a script that is only `a && b && c`; None when it is anything more."""
    lexer = shlex.shlex(script.strip(), posix=True, punctuation_chars="&;|()<>\n")
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    lexer.commenters = ""
    steps: list[list[str]] = [[]]
    try:
        for word in lexer:
            if word.strip("\n") == "&&":
                steps.append([])
            elif word.strip("&;|()<>\n") == "":
                return None
            else:
                steps[-1].append(word)
    except ValueError:  # an open quote: the shell will say so
        return None
    return steps


def _installation(step: list[str]) -> Installation | None:
    """The `pip install` that these words are, or None."""
    words = list(step)
    while words and re.fullmatch(r"PIP_\w+=\S*", words[0]):
        words.pop(0)
    if words[1:3] == ["-m", "pip"] and _PYTHONS.fullmatch(words[0]):
        words = words[3:]
    elif words[:1] in (["pip"], ["pip3"]):
        words = words[1:]
    else:
        return None
    if words[:1] != ["install"] or any("$" in word or "`" in word for word in words):
        return None
    return _options(words[1:])


def _options(words: list[str]) -> Installation | None:
    values: dict[str, list[str]] = {name: [] for name in {*_OPTIONS.values(), "requirements"}}
    switches: set[str] = set()
    remaining = iter(words)
    for word in remaining:
        option, equals, value = word.partition("=")
        if word in ("--no-deps", "--pre"):
            switches.add(word)
        elif word in _FLAGS:
            continue
        elif option in _OPTIONS:
            values[_OPTIONS[option]].append(value if equals else next(remaining, ""))
        elif word.startswith("-"):
            return None
        else:
            values["requirements"].append(word)
    if not values["requirements"]:
        return None
    return Installation(
        requirements=tuple(values["requirements"]),
        dependencies="--no-deps" not in switches,
        prereleases="--pre" in switches,
        index_urls=tuple(values["index_urls"]),
        extra_index_urls=tuple(values["extra_index_urls"]),
        trusted_hosts=tuple(values["trusted_hosts"]),
        find_links=tuple(values["find_links"]),
    )
