"""Google's own SDK, unmodified, keeping experiments and reading what pipelines did, over gRPC and REST."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
from kfp import compiler, dsl

from trainwright.local.server import LocalVertex

SCRIPT = """
import json, sys
told = json.loads(sys.argv[1])
for name, output in told["outputs"].get("artifacts", {}).items():
    artifact = output["artifacts"][0]
    artifact["metadata"] = {"accuracy": 0.75} if name == "metrics" else {"rows": 3}
import os
os.makedirs(os.path.dirname(told["outputs"]["outputFile"]), exist_ok=True)
with open(told["outputs"]["outputFile"], "w") as file:
    json.dump({"artifacts": told["outputs"]["artifacts"]}, file)
"""
WORK = {"image": "python:3.11-slim", "command": ["python3", "-c", SCRIPT], "args": ["{{$}}"]}

PROGRAM = """
import json, sys, time
from google.api_core import exceptions
from google.cloud import aiplatform

for transport in sys.argv[1].split():
    shown = {}
    show = shown.update
    session = {"project": "any-project", "location": "us-central1", "api_transport": transport}
    main()
    print("=", json.dumps(shown, default=lambda number: number.item()))
"""

EXPERIMENTS = """
experiment = f"churn-{transport}"
aiplatform.init(**session, experiment=experiment, experiment_description="which depth")
run = aiplatform.start_run("run-1")
aiplatform.log_params({"rate": 0.1, "optimizer": "adam"})
aiplatform.log_params({"depth": 3})
aiplatform.log_metrics({"accuracy": 0.9})
for loss in (1.0, 0.5):
    aiplatform.log_time_series_metrics({"loss": loss})
aiplatform.log_time_series_metrics({"loss": 0.25}, step=10)
matrix = {"labels": ["a", "b"], "matrix": [[1, 2], [3, 4]]}
curve = {"fpr": [0.0], "tpr": [1.0], "threshold": [0.5]}
aiplatform.log_classification_metrics(display_name="confusion", **matrix, **curve)
with aiplatform.start_execution(schema_title="system.ContainerExecution", display_name="train") as execution:
    data = aiplatform.Artifact.create(schema_title="system.Dataset", uri="gs://b/data", metadata={"rows": 3})
    execution.assign_input_artifacts([data])
    made = aiplatform.Artifact.create(schema_title="system.Model", uri="gs://b/model")
    execution.assign_output_artifacts([made])
show(
    series=[*run.get_time_series_data_frame()[["step", "loss"]].itertuples(index=False, name=None)],
    matrix=run.get_classification_metrics()[0]["matrix"],
    artifacts=sorted(each.schema_title for each in run.get_artifacts()),
    inputs=[each.uri for each in execution.get_input_artifacts()],
    outputs=[each.uri for each in execution.get_output_artifacts()],
    execution=execution.state.name,
)
aiplatform.end_run()
with aiplatform.start_run("run-2"):
    aiplatform.log_metrics({"accuracy": 0.5})
table = aiplatform.get_experiment_df().set_index("run_name").sort_index()
show(
    rows=[*table.index],
    states=[*table["state"]],
    first={column: table.loc["run-1", column] for column in sorted(table) if "." in column},
)
if transport == "rest":
    return

aiplatform.start_run("run-1", resume=True)
aiplatform.log_metrics({"f1": 0.2})
show(metrics=aiplatform.ExperimentRun("run-1", experiment=experiment).get_metrics())
aiplatform.end_run()
show(
    runs=sorted(each.name for each in aiplatform.ExperimentRun.list(experiment=experiment)),
    experiments=[each.name for each in aiplatform.Experiment.list()],
    missing=aiplatform.ExperimentRun.get("run-3", experiment=experiment),
)
data.update(metadata={"source": "x"})
show(
    found=[each.uri for each in aiplatform.Artifact.list(filter='metadata.source.string_value="x"')],
    by_uri=aiplatform.Artifact.get_with_uri("gs://b/model").schema_title,
    updated=aiplatform.Artifact.get(data.name).metadata,
)
# Two clients change one context: the second is ABORTED, reads again and takes in what the first wrote.
stale = aiplatform.Context.get(f"{experiment}-run-2")
aiplatform.Context.get(f"{experiment}-run-2").update(metadata={"one": 1})
stale.update(metadata={"two": 2})
both = aiplatform.Context.get(f"{experiment}-run-2").metadata
show(both=[both["one"], both["two"]])
try:
    aiplatform.Context.create(schema_title="system.Experiment", resource_id=experiment)
except exceptions.AlreadyExists as error:
    show(conflict=error.code)
aiplatform.Experiment(experiment).delete(delete_backing_tensorboard_runs=True)
show(deleted=aiplatform.Experiment.get(experiment))
board = aiplatform.Tensorboard.list()[0]
group = aiplatform.TensorboardExperiment.list(board.name)[0]
show(left=len(aiplatform.TensorboardRun.list(group.resource_name)))
board.delete()
"""

PIPELINE = """
aiplatform.init(**session)
job = aiplatform.PipelineJob(
    display_name="churn", template_path=sys.argv[2], pipeline_root="gs://trainwright-local/root",
    parameter_values={"rate": 0.25}, job_id="churn-1", enable_caching=False,
)
job.submit(experiment="nightly")
while not job.done():
    time.sleep(0.1)
job = aiplatform.PipelineJob.get("churn-1")
show(experiment=job.get_associated_experiment().name)
aiplatform.init(**session, experiment="daily")
with aiplatform.start_run("monday") as run:
    aiplatform.log(pipeline_job=job)
show(logged=[each.name for each in run.get_logged_pipeline_jobs()])

row = aiplatform.get_experiment_df("nightly").iloc[0]
columns = ["run_name", "run_type", "state", "param.rate", "metric.accuracy"]
show(row=[row[name] for name in columns])
row = aiplatform.get_pipeline_df(pipeline="churn").iloc[0]
columns = ["pipeline_name", "run_name", "param.input:rate", "metric.accuracy"]
show(pipeline_row=[row[name] for name in columns])

context = job._gca_resource.job_detail.pipeline_run_context.name
executions = aiplatform.Execution.list(
    filter=f'schema_title="system.ContainerExecution" AND in_context("{context}")', order_by="display_name"
)
events = [(len(each.get_input_artifacts()), len(each.get_output_artifacts())) for each in executions]
show(
    executions=[(each.display_name, each.state.name) for each in executions],
    events=events,
    named=sorted(each.execution.name for each in job.task_details if each.task_name in ("make", "train"))
    == sorted(each.resource_name for each in executions),
)
dataset = aiplatform.Artifact.list(filter='schema_title="system.Dataset"')[0]
graph = dataset.api_client.query_artifact_lineage_subgraph(artifact=dataset.resource_name)
show(
    dataset=dataset.metadata,
    lineage=dataset.lineage_console_uri.startswith("https://"),
    graph=(sorted(each.schema_title for each in graph.artifacts), len(graph.executions), len(graph.events)),
    members=len(aiplatform.Context.get("churn").get_artifacts()),
)
"""


@dsl.container_component
def make(data: dsl.Output[dsl.Dataset]):
    return dsl.ContainerSpec(**WORK)


@dsl.container_component
def train(data: dsl.Input[dsl.Dataset], rate: float, metrics: dsl.Output[dsl.Metrics]):
    return dsl.ContainerSpec(**WORK)


@dsl.pipeline(name="churn")
def churn(rate: float = 0.1) -> dsl.Metrics:
    return train(data=make().outputs["data"], rate=rate).outputs["metrics"]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Runs a program as a client of a local Vertex AI: what it showed, for each transport."""
    with LocalVertex(tmp_path_factory.mktemp("state")) as vertex:
        base = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}

        def run(program, transports, *arguments):
            ended = subprocess.run(
                [
                    sys.executable,
                    "-c",
                    f"def main():\n{textwrap.indent(program, 4 * ' ')}\n{PROGRAM}",
                    transports,
                    *arguments,
                ],
                env=base | vertex.environment(),
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert ended.returncode == 0, ended.stderr
            return [json.loads(line[2:]) for line in ended.stdout.splitlines() if line.startswith("= ")]

        yield run


def test_experiments_over_grpc_and_rest(client):
    whole, over_rest = client(EXPERIMENTS, "grpc rest")
    kept = {
        "series": [[1, 1.0], [2, 0.5], [10, 0.25]],
        "matrix": [[1.0, 2.0], [3.0, 4.0]],
        "artifacts": [
            "google.ClassificationMetrics",
            "google.VertexTensorboardRun",
            "system.Dataset",
            "system.Model",
        ],
        "inputs": ["gs://b/data"],
        "outputs": ["gs://b/model"],
        "execution": "COMPLETE",
        "rows": ["run-1", "run-2"],
        "states": ["COMPLETE", "COMPLETE"],
        "first": {
            "metric.accuracy": 0.9,
            "param.depth": 3.0,
            "param.optimizer": "adam",
            "param.rate": 0.1,
            "time_series_metric.loss": 0.25,
        },
    }
    assert over_rest == kept
    assert whole == kept | {
        "metrics": {"accuracy": 0.9, "f1": 0.2},
        "runs": ["run-1", "run-2"],
        "experiments": ["churn-grpc"],
        "missing": None,
        "found": ["gs://b/data"],
        "by_uri": "system.Model",
        "updated": {"rows": 3.0, "source": "x"},
        "both": [1.0, 2.0],
        "conflict": 409,
        "deleted": None,
        "left": 0,
    }


def test_what_a_pipeline_did(client, tmp_path):
    compiler.Compiler().compile(churn, str(tmp_path / "churn.yaml"))
    (shown,) = client(PIPELINE, "grpc", str(tmp_path / "churn.yaml"))
    assert shown == {
        "experiment": "nightly",
        "logged": ["churn-1"],
        "row": ["churn-1", "system.PipelineRun", "COMPLETE", 0.25, 0.75],
        "pipeline_row": ["churn", "churn-1", 0.25, 0.75],
        "executions": [["make", "COMPLETE"], ["train", "COMPLETE"]],
        "events": [[0, 1], [1, 1]],
        "named": True,
        "dataset": {"rows": 3.0},
        "lineage": True,
        "graph": [["system.Dataset", "system.Metrics"], 3, 4],
        "members": 2,
    }
