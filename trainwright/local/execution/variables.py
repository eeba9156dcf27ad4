"""Environment variables that a process on this machine has, before its author's own."""

import os
from pathlib import Path

# What a process inherits from the shell of whoever started local Vertex: where things are, the locale, how
# the processor and its libraries are to be used, where packages come from. The rest stays out, as it does
# on Vertex: a task must not work, or reach another project, thanks to a variable that its container would
# not have.
_INHERITED = {"PATH", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"}
_INHERITED_PREFIXES = ("LC_", "PIP_", "UV_", "CUDA_", "NVIDIA_", "OPENBLAS_", "MKL_")

_DEFAULTS = {
    # Empty: bytecode is kept. Where builds set it to 1, every start would compile all that it imports (33 s
    # for kfp, the SDK and scikit-learn instead of 7).
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONUNBUFFERED": "1",
    # One thread for each model: several processes share the machine, and OpenMP's threads wait for one
    # another by spinning (LightGBM on two busy cores: 5 to 50 s with two threads, 2 s with one).
    "OMP_NUM_THREADS": "1",
}


def inherited(home: Path) -> dict[str, str]:
    """What is taken over from this process.

    Args:
        home: A home of the tasks' own: no credentials or settings of the user's clients are found there.
    """
    found = {
        name: value
        for name, value in os.environ.items()
        if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }
    return {**found, "HOME": str(home)}


def basic(home: Path) -> dict[str, str]:
    """What is taken over, and what suits many processes on one machine; argument as of `inherited`."""
    return {**inherited(home), **_DEFAULTS}
