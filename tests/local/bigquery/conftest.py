import json
import os
import subprocess
import sys
import textwrap

import pytest

from trainwright.local.bigquery import BigQuery
from trainwright.local.server import LocalVertex
from trainwright.local.storage import Storage

_SHOW = "import json\nprint('\\n' + json.dumps(shown, default=str))"


@pytest.fixture(scope="module")
def bigquery(tmp_path_factory):
    """The room alone, over an empty state folder with the bucket `data` and the dataset `shop`."""
    state = tmp_path_factory.mktemp("state")
    storage = Storage(state / "storage", state / "storage.sqlite", project_number="1")
    storage.create_bucket("data")
    opened = BigQuery(state / "bigquery", storage, project="p", project_number="1")
    opened.run({"query": {"query": "CREATE SCHEMA shop", "useLegacySql": False}})
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def vertex(tmp_path_factory):
    with LocalVertex(tmp_path_factory.mktemp("vertex") / "state") as served:
        yield served


@pytest.fixture(scope="module")
def client(vertex, tmp_path_factory):
    """Runs a program as a client in a process of its own; what it assigns to `shown` comes back."""

    def run(program):
        base = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        code = f"shown = []\n{textwrap.dedent(program)}\n{_SHOW}"
        file = (
            tmp_path_factory.mktemp("program") / "program.py"
        )  # kfp reads a component's source from its file
        file.write_text(code)
        process = subprocess.run(
            [sys.executable, "-W", "ignore", str(file)],
            env=base | vertex.environment(),
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stderr
        return json.loads(process.stdout.splitlines()[-1])

    return run
