"""Findings as text, JSON and SARIF 2.1.0."""

from pathlib import Path
from typing import Any

from trainwright import __version__
from trainwright.compiling.lint.check import Report, rules
from trainwright.compiling.lint.findings import Finding, Rule

SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def as_text(report: Report) -> str:
    """One line a finding, as compilers write them, and one that sums up."""
    lines = [
        f"{finding.file}:{finding.line}: {finding.severity} {finding.rule}: {_message(finding)}"
        for finding in report.findings
    ]
    return "\n".join([*lines, summary(report)])


def summary(report: Report) -> str:
    """How many files were checked and what was found, in a line."""
    errors = sum(finding.severity == "error" for finding in report.findings)
    warnings = len(report.findings) - errors
    parts = [f"{len(report.files)} files checked", f"{errors} errors", f"{warnings} warnings"]
    if report.allowed:
        parts.append(f"{report.allowed} findings allowed by the settings")
    if report.skipped:
        parts.append(f"{len(report.skipped)} files skipped, no compiled pipelines")
    return ", ".join(parts)


def as_json(report: Report) -> dict[str, Any]:
    """The report as one object."""
    return {
        "files": [str(path) for path in report.files],
        "skipped": [str(path) for path in report.skipped],
        "allowed": report.allowed,
        "findings": [
            {
                "rule": finding.rule,
                "severity": finding.severity,
                "file": str(finding.file),
                "line": finding.line,
                "task": finding.task or None,
                "message": finding.message,
            }
            for finding in report.findings
        ],
    }


def as_sarif(report: Report) -> dict[str, Any]:
    """The report in the form that code review tools read (OASIS SARIF 2.1.0, errata 01)."""
    known = list(rules().values())
    positions = {rule.id: position for position, rule in enumerate(known)}
    return {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "trainwright",
                        "version": __version__,
                        "rules": [_sarif_rule(rule) for rule in known],
                    }
                },
                "results": [_sarif_result(finding, positions[finding.rule]) for finding in report.findings],
            }
        ],
    }


def _sarif_rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": rule.mend},
        "defaultConfiguration": {"level": rule.severity},
    }


def _sarif_result(finding: Finding, position: int) -> dict[str, Any]:
    return {
        "ruleId": finding.rule,
        "ruleIndex": position,
        "level": finding.severity,
        "message": {"text": _message(finding)},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _uri(finding.file)},
                    "region": {"startLine": finding.line},
                }
            }
        ],
    }


def _uri(path: Path) -> str:
    """Relative to the current folder where it can be: review tools match it with the repository's files."""
    from urllib.parse import quote

    absolute, here = path.absolute(), Path.cwd()
    if absolute.is_relative_to(here):
        return quote(absolute.relative_to(here).as_posix())
    return absolute.as_uri()


def _message(finding: Finding) -> str:
    return f"task {finding.task}: {finding.message}" if finding.task else finding.message
