"""Where the programs of this folder find Vertex AI: a local one, or with VERTEX_FIDELITY=cloud the real one.

For the real one, application-default credentials, GOOGLE_CLOUD_PROJECT, GOOGLE_CLOUD_LOCATION and
VERTEX_FIDELITY_BUCKET (a bucket in that location, without gs://) must be there. Whatever the programs create
they delete again; none of it costs more than a few cents.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

_NEEDED = ("GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION", "VERTEX_FIDELITY_BUCKET")


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """The variables of a process that talks to the Vertex AI that is meant."""
    if os.environ.get("VERTEX_FIDELITY") == "cloud":
        missing = [name for name in _NEEDED if not os.environ.get(name)]
        if missing:
            pytest.fail(f"VERTEX_FIDELITY=cloud needs {', '.join(missing)}")
        yield dict(os.environ)
        return
    command = str(Path(sys.executable).with_name("trainwright"))
    plain = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    plain["TRAINWRIGHT_STATE"] = str(tmp_path_factory.mktemp("fidelity") / "state")

    def local(*words):
        return subprocess.run(
            [command, "local", *words], env=plain, check=True, capture_output=True, text=True
        )

    local("up")
    try:
        lines = local("env").stdout.splitlines()
        variables = dict(word.split("=", 1) for line in lines for word in shlex.split(line)[1:])
        yield plain | variables | {"VERTEX_FIDELITY_BUCKET": "trainwright-local"}
    finally:
        local("down")
