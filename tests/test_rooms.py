"""What no import contract can see: components, pipelines and trainers do not ask where they run."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SOURCES = [
    path for room in ("components", "pipelines", "trainers") for path in (REPOSITORY / room).rglob("*.py")
]
WHERE = re.compile(
    r"localhost|127\.0\.0\.1|EMULATOR|TRAINWRIGHT_|trainwright[-.]local|\bis_local\b|\.trainwright"
)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_it_does_not_know_where_it_runs(path):
    assert WHERE.search(path.read_text()) is None


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "compiled").rglob("*.yaml")), ids=lambda path: path.stem
)
def test_compiled_yaml_bakes_nothing_of_an_environment_in(path):
    text = path.read_text()
    assert WHERE.search(text) is None
    assert "us-central1" not in text
    assert len(text) > 500


def test_there_was_something_to_check():
    assert len(SOURCES) > 10
