"""What the recovery tests run: every executor's task adds a line to a file that is named for it."""

from google_cloud_pipeline_components.v1.custom_job import CustomTrainingJobOp
from kfp import dsl

PYTHON = "python:3.11-slim"


@dsl.component(base_image=PYTHON)
def mark(folder: str, task: str, number: int, seconds: float) -> int:
    import os
    import time

    with open(f"{folder}/{task}", "a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(seconds)
    return number * number


@dsl.component(base_image=PYTHON)
def add(folder: str, task: str, numbers: list) -> int:
    with open(f"{folder}/{task}", "a") as file:
        file.write("add\n")
    return sum(numbers)


@dsl.component(base_image=PYTHON)
def fail_twice(folder: str, task: str, number: int) -> int:
    from pathlib import Path

    with open(f"{folder}/{task}", "a") as file:
        file.write("try\n")
    if len(Path(folder, task).read_text().splitlines()) <= 2:
        raise RuntimeError("not yet")
    return number + 1


@dsl.component(base_image=PYTHON)
def conclude(folder: str, task: str, status: dsl.PipelineTaskFinalStatus):
    with open(f"{folder}/{task}", "a") as file:
        file.write(f"{status.state}\n")


@dsl.pipeline(name="pair")
def pair(folder: str, number: int, seconds: float) -> int:
    first = mark(folder=folder, task=dsl.PIPELINE_TASK_ID_PLACEHOLDER, number=number, seconds=seconds)
    second = mark(folder=folder, task=dsl.PIPELINE_TASK_ID_PLACEHOLDER, number=first.output, seconds=seconds)
    return second.output


TRAIN = """
import os, pathlib, sys, time
folder, seconds = sys.argv[1:]
with open(f"{folder}/custom-{os.environ['CLOUD_ML_JOB_ID']}", "a") as file:
    file.write(f"{os.getpid()}\\n")
time.sleep(float(seconds))
"""


def train(folder: str, seconds: float) -> dsl.PipelineTask:
    """A custom job of one replica."""
    container = {"image_uri": PYTHON, "command": ["python3", "-c", TRAIN], "args": [folder, seconds]}
    machine = {"machine_type": "n1-standard-4"}
    pool = {"machine_spec": machine, "replica_count": 1, "container_spec": container}
    return CustomTrainingJobOp(display_name="train", worker_pool_specs=[pool])


@dsl.pipeline(name="disturbed")
def disturbed(folder: str, seconds: float, seconds_of_training: float):
    last = conclude(folder=folder, task=dsl.PIPELINE_TASK_ID_PLACEHOLDER)
    with dsl.ExitHandler(last):
        train(folder, seconds_of_training)
        flaky = fail_twice(folder=folder, task=dsl.PIPELINE_TASK_ID_PLACEHOLDER, number=4)
        flaky.set_retry(num_retries=3, backoff_duration="0s")
        with dsl.ParallelFor([1, 2, 3, 4], parallelism=2) as item:
            squared = pair(folder=folder, number=item, seconds=seconds)
        total = add(
            folder=folder,
            task=dsl.PIPELINE_TASK_ID_PLACEHOLDER,
            numbers=dsl.Collected(squared.output),
        )
        after = pair(folder=folder, number=flaky.output, seconds=0.0)
        after.after(total)
