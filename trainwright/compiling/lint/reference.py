"""Writes `docs/lint.md`: every rule of `trainwright lint`, why it is one and how to mend what it finds.

    python -m trainwright.compiling.lint.reference docs/lint.md [--check]

`--check` writes nothing and ends with status 1 when the file is not what would be written.
"""

import argparse
import sys
from pathlib import Path

from trainwright.compiling.lint.check import rules

_HEAD = """\
# The rules of `trainwright lint`

Generated from the code by `make docs`. `trainwright lint [FILE…]` looks through compiled pipelines, whoever
compiled them; without FILE, through `compiled/`. It ends with status 0 when nothing is found, 1 when
something is, 2 on a mistake in the call. Zero files are a failure.

An error is refused by Vertex AI, or loses data; a warning is a surprise or a cost that may be meant. What is
meant is allowed in `trainwright.toml`, with the reason:

```toml
[[lint.allow]]
rule = "image-digest"
files = "compiled/*"            # optional: a pattern of paths
task = "train/*"                # optional: a pattern of tasks
text = "python:3.11-slim"       # optional: a part of the message
reason = "Debian's fixes are to come in by themselves."
```

"""


def reference() -> str:
    """The page: a table of the rules and a section for each."""
    known = rules().values()
    table = ["| rule | severity | what must hold |", "|---|---|---|"]
    table += [f"| [{rule.id}](#{rule.id}) | {rule.severity} | {rule.title} |" for rule in known]
    sections = [
        f"## {rule.id}\n\n{rule.title}.\n\n**Why.** {rule.why}\n\n**How to mend it.** {rule.mend}\n"
        for rule in known
    ]
    return _HEAD + "\n".join([*table, "", *sections])


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description="Write the reference of the rules of trainwright lint.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    text = reference()
    if not arguments.check:
        arguments.path.write_text(text, encoding="utf-8")
        return 0
    if not arguments.path.is_file() or arguments.path.read_text(encoding="utf-8") != text:
        sys.stderr.write(f"{arguments.path} is not current: run `make docs`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
