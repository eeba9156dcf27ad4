"""Labels of runs, checked as Google Cloud does, before anything is created."""

from collections.abc import Iterable

from trainwright.authoring.labels import LONGEST, is_label_text
from trainwright.errors import UserError


def read_labels(assignments: Iterable[str]) -> dict[str, str]:
    """Makes a run's labels out of `key=value` texts.

    Google Cloud, "Requirements for labels" (Resource Manager documentation, 2026-08): keys of 1 to 63
    characters, which begin with a letter; values of 0 to 63; lower-case letters of any script, digits, "_"
    and "-".

    Raises:
        UserError: A label is not of that form, or given twice.
    """
    labels: dict[str, str] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise UserError(f"--label {assignment}: expected key=value")
        if key in labels:
            raise UserError(f"--label {key}: given twice")
        if not key[0].isalpha() or not is_label_text(key):
            raise UserError(
                f"--label {assignment}: found key {key!r}, expected a letter, then lower-case letters,"
                f' digits, "_" and "-", at most {LONGEST}'
            )
        if not is_label_text(value):
            raise UserError(
                f"--label {assignment}: found value {value!r}, expected lower-case letters, digits,"
                f' "_" and "-", at most {LONGEST}'
            )
        labels[key] = value
    return labels
