"""Commands that share a state folder, and commands that are stopped or killed in the middle."""

import os
import signal

import pytest


@pytest.fixture
def here(user, tmp_path):
    """The user's shell with a state folder of its own."""
    here = user.elsewhere(tmp_path / "state")
    yield here
    here("local", "down")


def test_two_runs_at_once_in_one_folder_both_end(here, tmp_path):
    """The first to be ready serves both, and does not leave before the other has ended."""
    short = ("run", "adding", "--param", "first=41", "--json")
    long = ("run", "napping", "--param", f"marker={tmp_path / 'marker'}", "--param", "seconds=5", "--json")
    first, second = here.at_once(short, long)
    assert (first.status, second.status) == (0, 0), (first.err, second.err)
    assert first.json()["outputs"] == {"Output": 42}
    assert second.json()["outputs"] == {"Output": "slept now"}
    assert here("local", "status").status == 1


def test_a_run_whose_command_was_killed_is_finished_by_local_up(here, tmp_path, waits):
    marker = tmp_path / "marker"
    process = here.start("run", "napping", "--param", f"marker={marker}")
    waits(marker.exists, process)
    process.kill()
    process.wait()
    # What it had started dies with it: nobody touches the marker any more.
    waits(lambda: _is_left_alone(marker))

    name = process.stdout.readline().split()[1]
    assert here("local", "up").status == 0
    found = waits(lambda: _ended(here("runs", "show", name, "--json").json()))
    assert found["state"] == "PIPELINE_STATE_SUCCEEDED"
    assert found["outputs"] == {"Output": "slept before"}


def test_a_run_can_be_labelled_followed_and_cancelled(shell, tmp_path, waits):
    marker = tmp_path / "marker"
    options = ("--env", "local", "--param", f"marker={marker}", "--label", "team=churn", "--json")
    submitted = shell("submit", "napping", *options)
    assert submitted.status == 0, submitted.err
    name = submitted.json()["name"]
    waits(marker.exists)
    following = shell.start("runs", "logs", name, "nap", "--follow")
    seen = [following.stdout.readline()]
    while not seen[-1].startswith("asleep for "):
        assert seen[-1], following.communicate()
        seen.append(following.stdout.readline())
    assert any('"team": "churn"' in line for line in seen)

    cancelled = shell("runs", "cancel", name)
    assert cancelled.out == f"run {name.rpartition('/')[2]} CANCELLED\n", cancelled.err
    done = shell.end(following)
    assert done.status == 0, done.err
    assert done.out.count("asleep for ") > 1
    assert _is_left_alone(marker)


def test_a_stopped_run_is_not_gone_on_with_by_a_command_that_only_looks(here, tmp_path, waits):
    marker = tmp_path / "marker"
    process = here.start("run", "napping", "--param", f"marker={marker}")
    waits(marker.exists, process)
    os.killpg(process.pid, signal.SIGINT)
    done = here.end(process)
    assert done.status == 130
    assert "goes on where it was with `trainwright local up`" in done.err
    assert _is_left_alone(marker)

    name = done.out.split()[1]
    followed = here("runs", "logs", name, "nap", "--follow")
    assert followed.status == 0, followed.err
    assert "is not going on: start local Vertex with `trainwright local up`" in followed.err

    marker.unlink()
    cancelled = here("runs", "cancel", name)
    assert cancelled.status == 0, cancelled.err
    assert cancelled.out == f"run {name} CANCELLED\n"


def _ended(run):
    return run if run["state"] != "PIPELINE_STATE_RUNNING" else None


def _is_left_alone(file):
    before = file.stat().st_mtime_ns
    signal.sigtimedwait([], 0.5)
    return file.stat().st_mtime_ns == before
