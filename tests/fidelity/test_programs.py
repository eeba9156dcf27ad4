"""Runs the programs of `programs/` in a process of their own, as a user's would be."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

_PROGRAMS = sorted((Path(__file__).parent / "programs").glob("check_*.py"))


@pytest.fixture(scope="module")
def outcomes(environment, tmp_path_factory):
    """What became of the tests of each program, by its name: one process, which loads the SDK once."""
    report = tmp_path_factory.mktemp("programs") / "report.xml"
    options = ("-q", "--tb=short", "-p", "no:cacheprovider", f"--junitxml={report}")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *map(str, _PROGRAMS)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert report.is_file(), done.stdout + done.stderr
    found = {program.stem: [] for program in _PROGRAMS}
    for case in ElementTree.parse(report).iter("testcase"):
        problems = [each.text or each.get("message") for each in case if each.tag in ("failure", "error")]
        found[case.get("classname").rpartition(".")[2]].append((case.get("name"), problems))
    return found


@pytest.mark.parametrize("program", [program.stem for program in _PROGRAMS])
def test_program(program, outcomes):
    assert outcomes[program], "none of its tests was run"
    assert not [(name, problem) for name, problems in outcomes[program] for problem in problems]
