"""How fast is the engine? Beside kfp's own local runner, and from 100 to 10,000 tasks in one pipeline.

    python benchmarks/engine.py                 everything: about ten minutes on two processors
    python benchmarks/engine.py --quick         smaller pipelines: about a minute; targets are then a hint
    python benchmarks/engine.py --only chain    or fan-out, or scale

The same compiled pipelines run through both, in processes that have run a pipeline of one task before: here
by `google.cloud.aiplatform.PipelineJob`, caching off, from `submit` to the end that the job names, against a
local Vertex AI in the same process; there by kfp 2.17.0's `SubprocessRunner(use_venv=False)`. That runner
installs kfp into the environment it runs in whenever a component says so, so it gets an environment of its
own, made by uv and thrown away. Medians of three, but for kfp.local with pip, which is run once. Exits with 1
when a target is missed.
"""

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

_KFP = "kfp==2.17.0"
_SUCCEEDED = "PIPELINE_STATE_SUCCEEDED"
_ENDED = (_SUCCEEDED, "PIPELINE_STATE_FAILED", "PIPELINE_STATE_CANCELLED")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: What was run.
        tasks: How many tasks it had.
        seconds: What it took here.
        compared: What it took by kfp.local; of a larger loop, what so many tasks would take as in the
            smallest.
        target: The largest ratio of the two that is allowed.
        memory: Peak of the serving process in MB, where it was measured.
    """

    name: str
    tasks: int
    seconds: float
    compared: float
    target: float
    memory: int | None = None

    @property
    def ratio(self) -> float:
        """Its time over what it is compared with."""
        return self.seconds / self.compared

    @property
    def holds(self) -> bool:
        """Whether the target is met; a loop's cost may fall no further either than it may rise."""
        if self.memory is None:
            return self.ratio <= self.target
        return 2 - self.target <= self.ratio <= self.target and self.memory < 500


def compiled(folder: Path, kind: str, size: int, *, pip: bool = False) -> Path:
    """Compiles a pipeline of trivial tasks.

    Args:
        folder: Where to.
        kind: "chain": each task waits for the one before it; "fan-out": none waits; "loop": a ParallelFor.
        size: Tasks.
        pip: Whether the component's command begins with `pip install kfp`, as by default.
    """
    from kfp import compiler, dsl

    @dsl.component(base_image="python:3.11-slim", kfp_package_path=_KFP, install_kfp_package=pip)
    def successor(number: int) -> int:
        return number + 1

    @dsl.pipeline(name=kind)
    def pipeline() -> None:
        output: Any = 0
        if kind == "loop":
            with dsl.ParallelFor(list(range(size))) as item:
                successor(number=item).set_caching_options(False)
            return
        for _ in range(size):
            task = successor(number=output).set_caching_options(False)
            output = task.output if kind == "chain" else 0

    template = folder / f"{kind}-{size}-{'pip' if pip else 'plain'}.yaml"
    compiler.Compiler().compile(pipeline, str(template))
    return template


def compare(folder: Path, only: str | None, quick: bool) -> Iterator[Row]:
    """Chains and fan-outs, here and by kfp.local."""
    length, width = (10, 10) if quick else (50, 20)
    cases = (
        ("chain", length, True, 1 / 30),
        ("chain", length, False, 1 / 4),
        ("fan-out", width, True, 1 / 30),
        ("fan-out", width, False, 1 / 6),
    )
    warm_up = compiled(folder, "chain", 1)
    with kfp_environment() as python:
        for kind, size, pip, target in cases:
            if only in (None, kind):
                template = compiled(folder, kind, size, pip=pip)
                templates = [warm_up, *[template] * 3]
                ours = seconds_of(sys.executable, "--here", *templates, "--state", folder / template.stem)
                theirs = seconds_of(python, "--by-kfp", *templates[: 2 if pip else 4])
                name = f"{kind} of {size}, {'pip' if pip else 'no pip'}"
                yield Row(name, size, median(ours[1:]), median(theirs[1:]), target)


def scale(folder: Path, quick: bool) -> Iterator[Row]:
    """One pipeline with more and more tasks: what each costs, and the memory of the serving process."""
    warm_up = compiled(folder, "fan-out", 4)
    smallest = 0.0
    for size in (100, 1_000) if quick else (100, 1_000, 10_000):
        template = compiled(folder, "loop", size)
        state = folder / template.stem
        with serving(state) as process:
            # Several of the smallest: one alone would be measured by its start and its end.
            templates = [template] * (5 if size == 100 else 1)
            found = seconds_of(sys.executable, "--here", warm_up, *templates, "--state", state, "--connect")
            status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
        seconds = median(found[1:])
        memory = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
        smallest = smallest or seconds / size
        yield Row(f"loop of {size:,}", size, seconds, smallest * size, 1.25, memory // 1024)


@contextlib.contextmanager
def serving(state: Path) -> Iterator[int]:
    """A local Vertex AI as a process of its own; its process id."""
    from trainwright.local.server import connect

    process = subprocess.Popen([sys.executable, "-m", "trainwright.local.server", "--state", str(state)])
    try:
        while connect(state) is None:
            if process.poll() is not None:
                raise SystemExit("error: local Vertex AI ended before it was up")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def kfp_environment() -> Iterator[Path]:
    """The interpreter of a new environment that holds kfp and pip."""
    import uv

    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "bin" / "python"
        for arguments in (
            ("venv", "--seed", "--allow-existing", "--python", sys.executable, folder),
            ("pip", "install", "--compile-bytecode", "--python", str(python), _KFP),
        ):
            subprocess.run([uv.find_uv_bin(), "--quiet", *arguments], check=True)
        yield python


def seconds_of(python: str | Path, *arguments: str | Path) -> list[float]:
    """Calls this file in a new process; the times that it prints."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [python, __file__, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
            capture_output=True,
            text=True,
            check=False,
        )
    found = [float(text) for text in re.findall(r"^seconds=(\S+)$", done.stdout, re.MULTILINE)]
    if done.returncode or not found:
        said = f"{done.stdout[-500:]} {done.stderr[-1500:]}"
        raise SystemExit(f"error: {' '.join(map(str, arguments))} failed: {said}")
    return found


def run_by_kfp(templates: list[Path]) -> None:
    """Runs pipelines by kfp.local and prints how long each took."""
    from kfp import components, local

    local.init(local.SubprocessRunner(use_venv=False), pipeline_root="outputs", raise_on_error=True)
    for template in templates:
        pipeline = components.load_component_from_file(str(template))
        before = time.perf_counter()
        pipeline()
        print(f"seconds={time.perf_counter() - before}", flush=True)


def run_here(templates: list[Path], state: Path, *, is_up: bool) -> None:
    """Runs pipelines one after the other and prints how long each took, from submission to its end.

    Args:
        templates: Compiled pipelines.
        state: The state folder.
        is_up: Whether a local Vertex AI serves it already; else one is started in this process.
    """
    from trainwright.local.server import LocalVertex, connect

    with contextlib.ExitStack() as stack:
        variables = connect(state) if is_up else stack.enter_context(LocalVertex(state)).environment()
        os.environ.update(variables or {})  # before anything imports Google's clients
        for number, template in enumerate(templates):
            print(f"seconds={_submitted(template, f'{template.stem}-{number}')}", flush=True)


def _submitted(template: Path, name: str) -> float:
    from google.cloud import aiplatform

    job = aiplatform.PipelineJob(
        display_name=name,
        job_id=name,
        template_path=str(template),
        pipeline_root=f"gs://trainwright-local/{name}",
        enable_caching=False,
        project="trainwright-local",
        location="us-central1",
    )
    before = time.time()
    job.submit()
    # `PipelineJob.wait` would look every 5 s only; to look more often than this would be part of the cost.
    while (found := job.api_client.get_pipeline_job(name=job.resource_name)).state.name not in _ENDED:
        time.sleep(0.1 if time.time() - before < 5 else 0.5)
    if found.state.name != _SUCCEEDED:
        raise SystemExit(f"error: {name}: {found.error.message}")
    return found.end_time.timestamp() - before


def show(row: Row) -> None:
    """Prints a row."""
    if row.memory is None:
        compared, ratio, target = f"{row.compared:.2f} s", f"1/{1 / row.ratio:.1f}", f"1/{1 / row.target:.0f}"
    else:
        compared, ratio, target = "", f"{row.ratio:.2f}", f"{row.target:.2f}"
    memory = f"  {row.memory} MB of 500" if row.memory else ""
    each = f"{1000 * row.seconds / row.tasks:.1f} ms"
    verdict = "holds" if row.holds else "MISSED"
    took = f"{row.seconds:.2f} s"
    print(
        f"{row.name:22}{took:>10}{each:>10}{compared:>11}{ratio:>8}{target:>8}  {verdict}{memory}", flush=True
    )


def main() -> int:
    """Prints the table; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", choices=("chain", "fan-out", "scale"))
    parser.add_argument("--quick", action="store_true", help="smaller pipelines; targets are then a hint")
    for hidden in ("--here", "--by-kfp", "--state"):  # what this file is called with by itself
        parser.add_argument(hidden, nargs="+", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--connect", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.by_kfp:
        run_by_kfp(arguments.by_kfp)
        return 0
    if arguments.here:
        run_here(arguments.here, *arguments.state, is_up=arguments.connect)
        return 0
    print(f"{'':22}{'here':>10}{'a task':>10}{'kfp.local':>11}{'ratio':>8}{'target':>8}")
    held = True
    with tempfile.TemporaryDirectory() as name:
        parts: list[Callable[[], Iterator[Row]]] = []
        if arguments.only != "scale":
            parts.append(lambda: compare(Path(name), arguments.only, arguments.quick))
        if arguments.only in (None, "scale"):
            parts.append(lambda: scale(Path(name), arguments.quick))
        for part in parts:
            for row in part():
                show(row)
                held = held and row.holds
    print(json.dumps({"processors": os.cpu_count(), "every target holds": held}))
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
