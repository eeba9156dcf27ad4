"""The rules of Google Cloud's labels.

Google Cloud, "Requirements for labels" (Resource Manager documentation, 2026-08): keys of 1 to 63 characters,
which begin with a letter; values of 0 to 63; lower-case letters of any script, digits, "_" and "-".
"""

from typing import Any

from trainwright.authoring.runtime import is_runtime

LONGEST = 63


def label_problem(key: str, value: Any) -> str | None:
    """Says why a label is none that Google Cloud takes; None if it is one, or known at run time only."""
    if not is_runtime(key) and (not key or not key[0].isalpha() or not is_label_text(key)):
        return (
            f"label {key!r}, expected a letter, then lower-case letters, digits, _ and -, at most {LONGEST}"
        )
    if is_runtime(value):
        return None
    if not isinstance(value, str):
        return f"label {key}: {value!r} is no text"
    if not is_label_text(value):
        return f"label {key}: {value!r}, expected lower-case letters, digits, _ and -, at most {LONGEST}"
    return None


def is_label_text(text: str) -> bool:
    """Whether a text can be a label's value, or the rest of its key."""
    return len(text) <= LONGEST and all(
        character in "_-" or (character.isalnum() and character == character.lower()) for character in text
    )
