"""Rules of Python packages that tasks and jobs install when they start."""

import functools
import re
import shlex
from collections.abc import Iterator
from typing import Any

from trainwright.compiling.lint.findings import Finding, Rule
from trainwright.compiling.lint.subject import Subject

UNPINNED = Rule(
    "package-unpinned",
    "warning",
    "Every package that is installed has an exact version",
    "`pandas` is another program next month: a schedule that ran for a year fails one Sunday night, or"
    " computes something else.",
    "Write `pandas==3.1.1` in `packages_to_install`, or put the packages into the image.",
)
RULES = (UNPINNED,)

_INSTALL = re.compile(r"pip3?\s+install\s+(.*?)(?=&&|\|\||;\s|\n|$)", re.DOTALL)
_REQUIREMENT = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*(?P<rest>.*)$")
# kfp's own, in the commands that it writes: a back-port for a Python that is no longer (kfp 2.17.0).
_OF_KFP = ("typing-extensions",)
_TAKES_VALUE = {
    "-i",
    "--index-url",
    "--extra-index-url",
    "--trusted-host",
    "-r",
    "--requirement",
    "-c",
    "-t",
    "--target",
}


def check(subject: Subject) -> Iterator[Finding]:
    """Checks the `pip install` of commands."""
    for task in subject.executed:
        location = (*task.executor_location, "container", "command")
        command = [*(task.container.get("command") or []), *(task.container.get("args") or [])]
        yield from _command(command, location, task.path)
    for task, job in subject.jobs:
        for pool in job.pools:
            command = [*(pool.container.get("command") or []), *(pool.container.get("args") or [])]
            yield from _command(command, task.location, task.path)


def _command(command: list[Any], location: tuple[str, ...], task: str) -> Iterator[Finding]:
    unpinned = sorted({name for script in _scripts(command) for name in _unpinned(script)})
    if unpinned:
        listed = ", ".join(unpinned)
        yield UNPINNED.found(f"installs {listed} of any version, expected name==version", location, task=task)


def _scripts(command: list[Any]) -> Iterator[str]:
    """The shell scripts of a command: what follows `sh -c`. A program's source may speak of pip, too."""
    for position in range(2, len(command)):
        shell, flag, script = command[position - 2 : position + 1]
        if not isinstance(script, str) or not re.fullmatch(r"-[a-z]{0,8}c", str(flag)):
            continue
        if isinstance(shell, str) and re.search(r"(^|/)(ba|da|z)?sh$", shell):
            yield script


@functools.lru_cache(maxsize=4096)  # the same commands stand in many pipelines
def _unpinned(text: str) -> tuple[str, ...]:
    return tuple(_find_unpinned(text))


def _find_unpinned(text: str) -> Iterator[str]:
    if "pip" not in text or "install" not in text:
        return
    for match in _INSTALL.finditer(text):
        try:
            words = shlex.split(match[1])
        except ValueError:  # the text of a program, not of a shell
            continue
        skip = False
        for word in words:
            if skip or word.startswith("-") or "$" in word:
                skip = word in _TAKES_VALUE
                continue
            requirement = _REQUIREMENT.match(word)
            if requirement is not None and not _is_pinned(requirement["name"], requirement["rest"]):
                yield word


def _is_pinned(name: str, rest: str) -> bool:
    if name.lower() in _OF_KFP or re.search(r"\.(whl|tar\.gz|zip)$", name):
        return True
    version = rest.partition(";")[0].strip()
    return version.startswith(("==", "@")) and "*" not in version
