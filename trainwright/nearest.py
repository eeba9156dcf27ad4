"""The known name that a mistyped one was probably meant to be."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """Says which known name is nearest to a wrong one, as the end of an error line.

    Args:
        name: What was found.
        known: The valid names.

    Returns:
        `nearest is 'x'` when one is near, else `known: a, b, c`, else `there are none`.
    """
    names = sorted(set(known))
    by_folded = {candidate.casefold(): candidate for candidate in names}
    matches = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    if matches:
        return f"nearest is {by_folded[matches[0]]!r}"
    return f"known: {', '.join(names)}" if names else "there are none"
