"""Files and checkpoints of the trainers' runtime, on plain paths and on gs:// alike."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from trainwright.local.server import BUCKET, LocalVertex
from trainwright.trainers import runtime

REPOSITORY = Path(__file__).parents[2]

# What a trainer does with files, given a folder: the same lines for a path and for a gs:// URI.
SCENARIO = """
import json, sys
from pathlib import Path
from trainers.runtime import *

root, scratch = sys.argv[1], Path(sys.argv[2])
answers = {}
for name in ("rows/b.parquet", "rows/a.parquet", "rows/notes.txt", "rowsmore/c.parquet", "one.parquet"):
    write_bytes(join(root, name), name.encode())
answers["listed"] = [name.removeprefix(root) for name in list_files(join(root, "rows"))]
answers["folder"] = [path.read_text() for path in fetch(join(root, "rows/"), scratch / "1", ".parquet")]
answers["file"] = [path.read_text() for path in fetch(join(root, "one.parquet"), scratch / "2", ".parquet")]
for name in ("nothing", "rows/notes"):
    try:
        fetch(join(root, name), scratch / "3", ".parquet")
    except UserError as error:
        answers[name] = str(error).removeprefix(root)
try:
    read_bytes(join(root, "nothing"))
except UserError as error:
    answers["read"] = str(error).startswith(root)
write_bytes(join(root, "one.parquet"), b"again")
answers["overwritten"] = read_bytes(join(root, "one.parquet")).decode()

mine = Checkpoints(join(root, "checkpoints/"), "mine")
answers["none"] = mine.latest()
for step in (9, 10, 11):
    mine.save(step, {"state": str(step).encode(), "more": b"x"})
answers["kept"] = [name.rpartition("-")[2] for name in list_files(join(root, "checkpoints"))]
answers["latest"] = mine.latest()["state"].decode()
answers["other"] = Checkpoints(join(root, "checkpoints"), "other").latest()
write_bytes(join(root, "checkpoints", "checkpoint-0000000012.zip"), b"PK no zip")
answers["damaged"] = mine.latest()["state"].decode()
mine.clear()
mine.clear()
answers["cleared"] = list_files(join(root, "checkpoints"))
print(json.dumps(answers))
"""
ANSWERS = {
    "listed": ["/rows/a.parquet", "/rows/b.parquet", "/rows/notes.txt"],
    "folder": ["rows/a.parquet", "rows/b.parquet"],
    "file": ["one.parquet"],
    "nothing": "/nothing: neither a file nor a folder of .parquet files",
    "rows/notes": "/rows/notes: neither a file nor a folder of .parquet files",
    "read": True,
    "overwritten": "again",
    "none": None,
    "kept": ["0000000010.zip", "0000000011.zip"],
    "latest": "11",
    "other": None,
    "damaged": "11",
    "cleared": [],
}


def answers(root: str, scratch: Path, environment: dict[str, str]) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", SCENARIO, root, scratch],
        cwd=REPOSITORY, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_plain_paths(tmp_path):
    assert answers(str(tmp_path / "root"), tmp_path / "scratch", {}) == ANSWERS


def test_cloud_storage(tmp_path):
    with LocalVertex(tmp_path / "state") as vertex:
        assert answers(f"gs://{BUCKET}/some/root", tmp_path / "scratch", vertex.environment()) == ANSWERS


@dataclass(frozen=True)
class Arguments:
    """Arguments of a program."""

    name: str
    rate: float = 0.5
    often: bool = False


def test_arguments():
    parsed = runtime.parse_arguments(Arguments, ["--name=a=b", "--often", "True", "--rate", "1e-3"])
    assert parsed == Arguments("a=b", 0.001, True)
    assert runtime.parse_arguments(Arguments, ["--name", "x", "--often=false"]) == Arguments("x")
    with pytest.raises(runtime.UserError, match="required: --name"):
        runtime.parse_arguments(Arguments, [])
    with pytest.raises(runtime.UserError, match="invalid true_or_false value: 'yes'"):
        runtime.parse_arguments(Arguments, ["--name=x", "--often=yes"])


def test_an_unexpected_failure_is_one_log_entry_with_its_trace(capsys):
    def broken(arguments: Arguments) -> None:
        raise RuntimeError("disk on fire")

    assert runtime.run(broken, Arguments, ["--name=x"]) == 1
    [line] = capsys.readouterr().out.splitlines()
    entry = json.loads(line)
    assert entry["severity"] == "CRITICAL"
    assert "disk on fire" in entry["message"]
