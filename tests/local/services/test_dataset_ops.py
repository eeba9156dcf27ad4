"""The dataset ops of Google Cloud Pipeline Components from one compiled pipeline, unmodified."""

import json
import os
import subprocess
import sys

import pytest
from google_cloud_pipeline_components.v1.dataset import (
    ImageDatasetCreateOp,
    ImageDatasetExportDataOp,
    ImageDatasetImportDataOp,
    TabularDatasetCreateOp,
    TabularDatasetExportDataOp,
    TimeSeriesDatasetCreateOp,
    TimeSeriesDatasetExportDataOp,
)
from kfp import compiler, dsl

from trainwright.local.server import LocalVertex

BUCKET = "gs://trainwright-local"
SCHEMA = (
    "gs://google-cloud-aiplatform/schema/dataset/ioformat/"
    "image_classification_single_label_io_format_1.0.0.yaml"
)
PROGRAM = """
import json, sys
from google.cloud import aiplatform
aiplatform.init(project="any-project", location="us-central1")
job = aiplatform.PipelineJob(
    display_name="datasets", template_path=sys.argv[1], pipeline_root="gs://trainwright-local/o",
)
job.submit()
job.wait()
made = {
    task.task_name: artifacts.artifacts[0].metadata["resourceName"]
    for task in job.task_details for name, artifacts in task.outputs.items()
    if "export" not in name and artifacts.artifacts
}
print("=", json.dumps({
    "states": {task.task_name: task.state.name for task in job.task_details},
    "same": made["image-dataset-create"] == made["image-dataset-import"],
    "images": [each.gca_resource.data_item_count for each in aiplatform.ImageDataset.list()],
    "labels": sorted(aiplatform.TabularDataset.list(filter='display_name="table"')[0].labels),
    "series": [each.display_name for each in aiplatform.TimeSeriesDataset.list()],
}))
"""


@dsl.pipeline(name="datasets")
def datasets():
    table = TabularDatasetCreateOp(display_name="table", gcs_source=f"{BUCKET}/t.csv")
    TabularDatasetExportDataOp(dataset=table.outputs["dataset"], output_dir=f"{BUCKET}/out/table")
    series = TimeSeriesDatasetCreateOp(display_name="series", gcs_source=f"{BUCKET}/t.csv")
    TimeSeriesDatasetExportDataOp(dataset=series.outputs["dataset"], output_dir=f"{BUCKET}/out/series")
    images = ImageDatasetCreateOp(
        display_name="images", gcs_source=f"{BUCKET}/one.csv", import_schema_uri=SCHEMA
    )
    more = ImageDatasetImportDataOp(
        dataset=images.outputs["dataset"], gcs_source=f"{BUCKET}/two.csv", import_schema_uri=SCHEMA
    )
    ImageDatasetExportDataOp(dataset=more.outputs["dataset"], output_dir=f"{BUCKET}/out/images")


@pytest.fixture(scope="module")
def vertex(tmp_path_factory):
    with LocalVertex(tmp_path_factory.mktemp("vertex") / "state") as vertex:
        yield vertex


def test_the_dataset_ops_run_from_a_compiled_pipeline(vertex, tmp_path):
    bucket = vertex.state / "storage" / "trainwright-local"
    (bucket / "t.csv").write_text("a,b\n1,2\n3,4\n")
    for number in range(2):
        (bucket / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes([number]))
    (bucket / "one.csv").write_text(f"{BUCKET}/0.png,cat\n")
    (bucket / "two.csv").write_text(f"{BUCKET}/1.png,dog\n")
    template = tmp_path / "datasets.yaml"
    compiler.Compiler().compile(datasets, str(template))
    base = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(template)],
        env=base | {"PYTHONDONTWRITEBYTECODE": ""} | vertex.environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(next(line[2:] for line in done.stdout.splitlines() if line.startswith("= ")))
    assert set(found["states"].values()) == {"SUCCEEDED"} and len(found["states"]) == 8
    assert found["same"] and found["images"] == [2] and found["series"] == ["series"]
    assert "vertex-ai-pipelines-run-billing-id" in found["labels"]
    for kind in ("table", "series"):
        (file,) = (bucket / "out" / kind).rglob("*.csv")
        assert file.read_text() == "a,b\n1,2\n3,4\n"
    (file,) = (bucket / "out" / "images").rglob("*.jsonl")
    assert [json.loads(line)["classificationAnnotation"]["displayName"] for line in file.open()] == [
        "cat",
        "dog",
    ]
