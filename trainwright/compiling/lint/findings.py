"""What a rule is, and what it finds."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

Severity = Literal["error", "warning"]
"""An error fails on Vertex AI or loses data; a warning is a surprise or a cost that may be meant."""


@dataclass(frozen=True)
class Finding:
    """Something that a rule found.

    Attributes:
        rule: The rule's id.
        severity: How bad it is.
        message: One line: what was found, what was expected, the nearest valid value.
        location: The keys that lead to it in the document.
        task: Path of the task that it is about; empty where it is about the whole pipeline.
        file: The file; set when the file's findings are put together.
        line: Its line in the file, from 1.
    """

    rule: str
    severity: Severity
    message: str
    location: tuple[str, ...] = ()
    task: str = ""
    file: Path = Path()
    line: int = 1


@dataclass(frozen=True)
class Rule:
    """A rule.

    Attributes:
        id: Its name in output and opt-outs.
        severity: Of its findings.
        title: What must hold, in one line.
        why: Why, with the source and date of what is taken from outside.
        mend: How to mend what it finds.
    """

    id: str
    severity: Severity
    title: str
    why: str
    mend: str

    def found(self, message: str, location: tuple[str, ...] = (), *, task: str = "") -> Finding:
        """Makes a finding of the rule."""
        return Finding(self.id, self.severity, message, location, task)


def milder(finding: Finding) -> Finding:
    """The same finding as a warning: what a rule is less sure of than of its others."""
    return replace(finding, severity="warning")
