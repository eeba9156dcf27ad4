"""State folders that cannot be served: one line with status 2, and what was in them is still there."""

import os
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

ADDING = ("run", "adding", "--param", "first=41", "--json")


def _mistake(done):
    assert (done.status, done.out) == (2, ""), done.err
    (line,) = done.err.splitlines()
    return line


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own; gives the folder and what changes its size."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(*options):
        command = ["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    if not mount("-o", "size=64k"):
        pytest.skip("a small disk cannot be mounted here")
    yield folder, lambda size: mount("-o", f"remount,size={size}")
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_port_that_is_in_use_is_named(user, tmp_path):
    here = user.elsewhere(tmp_path / "state")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        line = _mistake(here("local", "up", "--port", str(port)))
    assert f"port 127.0.0.1:{port} is in use" in line
    assert here("local", "status").status == 1


def test_who_serves_a_folder_is_named_to_a_second_process(shell):
    process = shell("local", "status").out.split()[-1].rstrip(")")
    second = shell("--state", str(shell.state), command=(sys.executable, "-m", "trainwright.local.server"))
    assert (second.status, second.out) == (2, "")
    assert second.err.startswith(f"error: {shell.state}: in use by process {process}, expected ")
    assert shell("local", "status").status == 0


def test_a_file_is_no_state_folder(user, tmp_path):
    file = tmp_path / "file"
    file.touch()
    for arguments in (("local", "up"), ("local", "status"), ("runs", "list")):
        line = _mistake(user.elsewhere(file)(*arguments))
        assert line == f"error: {file}: is a file, expected a state folder (TRAINWRIGHT_STATE)"


def test_a_folder_that_cannot_be_written_is_named(user, tmp_path):
    tmp_path.chmod(0o500)
    state = (
        "/sys/trainwright" if os.geteuid() == 0 else tmp_path / "state"
    )  # root writes everywhere but there
    here = user.elsewhere(state)
    for arguments in (("local", "up"), ("runs", "list")):
        line = _mistake(here(*arguments))
        assert line.startswith(f"error: local Vertex cannot start in {state}: ")
        assert line.endswith(("Operation not permitted", "Permission denied", "Read-only file system"))


def test_nothing_is_lost_on_a_full_disk(user, disk, waits):
    state, resize = disk
    here = user.elsewhere(state)
    for arguments in (("local", "up"), ("runs", "list")):
        assert "o space left on" in _mistake(here(*arguments))
    assert resize("6m")

    # The task fills the disk and fails; the run waits until that can be written down.
    process = here.start("run", "filling", "--param", f"folder={state}", "--json")
    waits(lambda: (state / "junk").exists() and os.statvfs(state).f_bavail == 0, process)
    said = process.stderr.readline()
    while "no space left on the disk" not in said:
        assert said, "the command has ended"
        said = process.stderr.readline()
    assert process.poll() is None
    (state / "junk").unlink()
    done = here.end(process)
    assert done.status == 1
    assert "task 'fill' failed with exit code 1: OSError: [Errno 28] No space left on device" in done.err
    assert done.json()["state"] == "PIPELINE_STATE_FAILED"


def test_an_image_that_is_mapped_in_the_settings_is_run(user, tmp_path):
    (tmp_path / "compiled").symlink_to(user.folder / "compiled")
    (tmp_path / "trainwright.toml").write_text('[local]\nimages = { "ghcr.io/acme/tool" = "host" }\n')
    here = replace(user, folder=tmp_path, state=tmp_path / "state")
    assert here("local", "up").status == 0
    done = here("run", "asking")
    assert done.status == 0, done.err
    assert here("local", "down").status == 0
