"""Runs every rule on files, and leaves out what the settings allow."""

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from trainwright.compiling.lint import (
    execution,
    exits,
    images,
    limits,
    machines,
    names,
    packages,
    places,
    secrets,
    services,
)
from trainwright.compiling.lint.document import Document, NoPipeline, read_document
from trainwright.compiling.lint.findings import Finding, Rule
from trainwright.compiling.lint.subject import Subject
from trainwright.errors import UserError
from trainwright.nearest import nearest
from trainwright.settings import Allow

UNREADABLE = Rule(
    "unreadable",
    "error",
    "The file is a compiled pipeline",
    "The SDK refuses anything else.",
    "Compile it anew; the message says where it is no YAML, or what it lacks.",
)
_FAMILIES = (machines, places, images, packages, execution, exits, names, limits, secrets, services)


def rules() -> dict[str, Rule]:
    """Every rule, by id, family by family."""
    found = {rule.id: rule for family in _FAMILIES for rule in family.RULES}
    return {UNREADABLE.id: UNREADABLE, **found}


@dataclass(frozen=True)
class Report:
    """What came of looking through files.

    Attributes:
        findings: What was found and is not allowed, by file and line.
        files: The files that were checked.
        skipped: YAML files in folders that are no compiled pipeline.
        allowed: How many findings the settings allow.
        unused: Opt-outs that allowed nothing.
    """

    findings: list[Finding]
    files: list[Path]
    skipped: list[Path] = field(default_factory=list)
    allowed: int = 0
    unused: list[Allow] = field(default_factory=list)


def lint(paths: Sequence[Path], allow: Sequence[Allow] = (), *, today: date | None = None) -> Report:
    """Looks through files.

    Args:
        paths: Files, and folders that are looked through for .yaml, .yml and .json.
        allow: The settings' opt-outs.
        today: The day on which ends of availability count; today unless given.

    Raises:
        UserError: A path does not exist, or an opt-out names no rule.
    """
    check_opt_outs(allow)
    findings: list[Finding] = []
    files: list[Path] = []
    skipped: list[Path] = []
    for path, is_named in _files(paths):
        try:
            document = read_document(path)
        except NoPipeline as error:
            if not is_named:
                skipped.append(path)
                continue
            findings.append(_unreadable(path, error))
        except UserError as error:
            findings.append(_unreadable(path, error))
        else:
            findings += lint_document(document, today=today)
        files.append(path)
    kept = [finding for finding in findings if not _allowing(finding, allow)]
    used = {id(found) for finding in findings for found in _allowing(finding, allow)}
    unused = [each for each in allow if id(each) not in used]
    return Report(kept, files, skipped, len(findings) - len(kept), unused)


def lint_document(
    document: Document,
    *,
    parameters: Mapping[str, Any] | None = None,
    location: str | None = None,
    project: str | None = None,
    today: date | None = None,
) -> list[Finding]:
    """Runs every rule on one document.

    Args:
        document: The pipeline.
        parameters: Values of the run's parameters, where they are known.
        location: Region of the run, where it is known.
        project: Project of the run, where it is known.
        today: The day on which ends of availability count; today unless given.

    Returns:
        The findings with file and line, by line.
    """
    subject = Subject(document, today or date.today(), parameters or {}, location, project)
    try:
        problem = document.form_problem
        found = [UNREADABLE.found(*problem)] if problem is not None else _findings(subject)
    except RecursionError:  # YAML's anchors can put a mapping into itself
        found = [UNREADABLE.found("nested too deeply, or in itself")]
    placed = [replace(finding, file=document.path, line=document.line(finding.location)) for finding in found]
    return sorted(placed, key=lambda finding: (finding.line, finding.rule, finding.message))


def _findings(subject: Subject) -> list[Finding]:
    """What all rules find, each finding once."""
    return list(dict.fromkeys(finding for family in _FAMILIES for finding in family.check(subject)))


def without_allowed(findings: Iterable[Finding], allow: Sequence[Allow]) -> list[Finding]:
    """The findings that no opt-out allows."""
    return [finding for finding in findings if not _allowing(finding, allow)]


def check_opt_outs(allow: Sequence[Allow]) -> None:
    """Checks that every opt-out names a rule.

    Raises:
        UserError: One does not.
    """
    known = rules()
    for each in allow:
        if each.rule not in known:
            raise UserError(f"lint.allow: unknown rule {each.rule!r}, {nearest(each.rule, known)}")


def _allowing(finding: Finding, allow: Sequence[Allow]) -> list[Allow]:
    file = finding.file.as_posix()
    return [
        each
        for each in allow
        if each.rule == finding.rule
        and (fnmatch.fnmatch(file, each.files) or fnmatch.fnmatch(file, f"*/{each.files}"))
        and fnmatch.fnmatch(finding.task, each.task)
        and each.text in finding.message
    ]


def _unreadable(path: Path, error: UserError) -> Finding:
    finding = UNREADABLE.found(str(error).removeprefix(f"{path}: "))
    return replace(finding, file=path)


def _files(paths: Sequence[Path]) -> list[tuple[Path, bool]]:
    """The files, each once, and whether it was named itself."""
    found: dict[Path, bool] = {}
    for path in paths:
        if path.is_dir():
            inside = (each for each in path.rglob("*") if each.suffix in (".yaml", ".yml", ".json"))
            for each in sorted(inside):
                hidden = any(part.startswith(".") for part in each.relative_to(path).parts)
                if each.is_file() and not hidden:
                    found.setdefault(each, False)
        elif path.is_file():
            found[path] = True
        else:
            raise UserError(f"{path}: no such file or folder")
    return list(found.items())
