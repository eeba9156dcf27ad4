"""`trainwright run tabular_custom`, as it is shown, and Google's SDK alone."""

import re
import shlex
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]


def _paragraphs(text: str) -> dict[str, list[str]]:
    """The parts of what is shown, by the first words of each, with single spaces."""
    parts = [
        [" ".join(line.split()) for line in part.splitlines()] for part in re.split(r"\n\s*\n", text.strip())
    ]
    return {part[0]: part[1:] for part in parts}


def test_the_run_ends_with_test_metrics_verdict_version_and_report(churn):
    shown = _paragraphs(churn.shown)
    parts = [heading.partition(" ")[0] for heading in shown]
    assert parts == ["run", "test", "metrics", "outputs", "models", "reports"]
    assert "test metrics Evaluate" in shown
    metrics = dict(line.split() for line in shown["test metrics Evaluate"])
    assert float(metrics["auRoc"]) > 0.84
    assert "verdict The challenger wins with auRoc" in "\n".join(shown["outputs"])
    (model,) = shown["models"]
    assert model.endswith("@1 churn, version 1: the default version")
    reports = dict(line.split(" ", 1) for line in shown["reports"])
    assert "<svg" in Path(reports["Report"]).read_text()
    assert all(path.endswith(".html") for path in reports.values())


@pytest.mark.skipif(shutil.which("script") is None, reason="script (util-linux) gives the command a terminal")
def test_a_second_run_on_a_terminal_is_served_from_the_cache_but_for_the_comparison(churn, shell):
    run = [sys.executable, "-m", "trainwright", "run", "tabular_custom"]
    run += ["--params", "pipelines/tabular_custom.churn.json"]
    done = shell.in_house()(command=("script", "-qefc", shlex.join(run), "/dev/null"))
    assert done.status == 0, done.out
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip() for line in done.out.splitlines()]
    last = {line.split()[0]: line for line in lines if line}
    assert last["custom-training-job"].split()[1] == "SUCCEEDED"
    assert last["custom-training-job"].endswith("(cached)")
    assert not last["find-champion"].endswith("(cached)")
    shown = _paragraphs("\n".join(lines))
    rows = [line.split() for line in shown["test metrics Evaluate Evaluate the champion"]]
    assert rows
    assert all(challenger == champion for _, challenger, champion in rows), "it is the same model"
    assert "verdict The champion stays" in "\n".join(shown["outputs"])


def test_a_program_with_nothing_but_googles_sdk(churn, shell):
    client = shell.in_house().as_client()
    program = (sys.executable, str(HOUSE / "examples" / "sdk_only.py"))
    with ThreadPoolExecutor() as threads:
        over_grpc, over_rest = threads.map(
            lambda transport: client(transport, command=program), ("grpc", "rest")
        )
    for transport, done in {"grpc": over_grpc, "rest": over_rest}.items():
        assert done.status == 0, done.err
        ours = [line for line in done.out.splitlines() if re.match(r"(churn-\S+|listed|model): ", line)]
        first, second, *others = ours
        name, _, state = first.partition(": ")
        assert name.startswith(f"churn-{transport}-")
        assert state.startswith("PIPELINE_STATE_SUCCEEDED, ")
        assert second == f"{name}-again: PIPELINE_STATE_CANCELLED"
        assert others[0] == f"listed: {name}", "and not the other, which has no such label"
        assert re.fullmatch(r"model: churn, projects/.+@1", others[1])
