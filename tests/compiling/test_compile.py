import subprocess
import sys
from pathlib import Path

import pytest

from trainwright.compiling.compile import Compiled, compile_all, compiled_folder, differences, write
from trainwright.compiling.discover import load_components
from trainwright.compiling.spec import read_pipeline
from trainwright.errors import UserError

PIPELINE = '''
from kfp import dsl

@dsl.component(base_image="python:3.11-slim")
def add(a: int, b: int = 2) -> int:
    """Adds é two numbers."""
    return a + b

@dsl.pipeline(name="sums", description="Sums é up.")
def sums(first: int, second: int = 3, names: list = ["x"], table: dict = {"z": 1, "a": 2}) -> int:
    one = add(a=first)
    return add(a=one.output, b=second).output
'''


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(PIPELINE, encoding="utf-8")
    return path


def test_the_same_source_gives_the_same_bytes_in_any_process_folder_and_locale(
    source: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere" / "deep" / "mine.py"
    moved.parent.mkdir(parents=True)
    moved.write_text(PIPELINE, encoding="utf-8")
    program = "import sys; from trainwright.cli import execute; sys.exit(execute(sys.argv[1:]))"
    for seed, locale, path in (("1", "C.UTF-8", source), ("2", "C", moved)):
        subprocess.run(
            [sys.executable, "-c", program, "compile", str(path), "--output", str(tmp_path / seed)],
            check=True,
            cwd=path.parent,
            capture_output=True,
            env={"PYTHONHASHSEED": seed, "LC_ALL": locale, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
    first, second = ((tmp_path / seed / "pipelines" / "sums.yaml").read_bytes() for seed in ("1", "2"))
    assert first == second
    assert str(tmp_path).encode() not in first
    assert first.endswith(b"\n")
    assert b"\r" not in first


def test_what_is_compiled_can_be_read(source: Path, tmp_path: Path) -> None:
    write(compile_all([str(source)]), tmp_path / "compiled", owned=False)
    found = read_pipeline(tmp_path / "compiled" / "pipelines" / "sums.yaml").interface
    assert found.name == "sums"
    assert found.parameters["first"].required
    assert repr(found.parameters["second"].default) == "3"


def test_a_difference_a_missing_and_a_stale_file_are_found_and_mended(tmp_path: Path) -> None:
    current = Compiled(
        {Path("pipelines/a.yaml"): "x: 1\n", Path("components/data/b.yaml"): "y: 1\n"}, complete=True
    )
    assert [diff.splitlines()[0] for diff in differences(current, tmp_path, owned=True)] == [
        "missing: compiled/components/data/b.yaml",
        "missing: compiled/pipelines/a.yaml",
    ]
    write(current, tmp_path, owned=True)
    assert differences(current, tmp_path, owned=True) == []
    (tmp_path / "pipelines" / "a.yaml").write_bytes(b"x: 1\r\n")
    (tmp_path / "components" / "old").mkdir()
    (tmp_path / "components" / "old" / "c.yaml").write_text("z: 1\n")
    stale, different = differences(current, tmp_path, owned=True)
    assert stale.startswith("stale: compiled/components/old/c.yaml")
    assert different.startswith("not current: compiled/pipelines/a.yaml")
    assert "+x: 1" in different
    assert (
        len(differences(current, tmp_path, owned=False)) == 1
    )  # what others compiled is no business of ours
    changed, removed = write(current, tmp_path, owned=True)
    assert (changed, removed) == ([Path("pipelines/a.yaml")], [Path("components/old/c.yaml")])
    assert differences(current, tmp_path, owned=True) == []
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["a.yaml", "b.yaml"]


def test_every_component_of_the_library_is_found_once_in_its_stage() -> None:
    targets = [source.target for source in load_components()]
    assert len(targets) == len(set(targets))
    assert Path("components/data/ingest.yaml") in targets
    assert {target.parts[1] for target in targets} <= {
        "automl",
        "data",
        "evaluation",
        "models",
        "operations",
        "training",
        "tuning",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "no @dsl.pipeline function in it"),
        ("import nothing_of_that_name", "cannot be imported: ModuleNotFoundError"),
        ("def f(:", "cannot be imported: SyntaxError"),
    ],
)
def test_a_file_that_gives_no_pipeline_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        compile_all([str(path)])


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(UserError, match="ingst: unknown pipeline or component, nearest is 'ingest'"):
        compile_all(["ingst"])


def test_the_compiled_folder_is_the_projects(tmp_path: Path) -> None:
    below = tmp_path / "house" / "a"
    below.mkdir(parents=True)
    assert compiled_folder(below) == below / "compiled"
    (tmp_path / "compiled").mkdir()
    assert compiled_folder(below) == tmp_path / "compiled"
    (tmp_path / "house" / "pipelines").mkdir()
    (tmp_path / "house" / "pyproject.toml").touch()
    assert compiled_folder(below) == tmp_path / "house" / "compiled"
