"""Official ops whose work cannot be done here are refused; those that could run are not."""

import pytest
from google.protobuf import json_format
from google_cloud_pipeline_components.v1 import bigquery, dataproc, dataset, model_evaluation
from google_cloud_pipeline_components.v1.automl.tabular import CvTrainerOp
from google_cloud_pipeline_components.v1.custom_job import CustomTrainingJobOp
from kfp import dsl

from trainwright.local.engine.reading import SpecError
from trainwright.local.execution.images import private_image

from .conftest import compiled, make_run

PRIVATE = "us-docker.pkg.dev/vertex-ai-restricted/automl-tabular/training:20251102_1045"


@dsl.pipeline(name="refused")
def with_ml(query: str = "CREATE MODEL a.b"):
    with dsl.If(query != ""):
        bigquery.BigqueryCreateModelJobOp(query=query)


@dsl.pipeline(name="refused")
def with_spark():
    dataproc.DataprocPySparkBatchOp(main_python_file_uri="gs://b/main.py")


@dsl.pipeline(name="refused")
def with_text():
    dataset.TextDatasetCreateOp(display_name="d")


@dsl.pipeline(name="refused")
def with_evaluation():
    model_evaluation.ModelEvaluationClassificationOp(target_field_name="y")


@dsl.pipeline(name="runs")
def runs():
    bigquery.BigqueryQueryJobOp(query="SELECT 1")
    dataset.TabularDatasetCreateOp(display_name="d", gcs_source="gs://b/d.csv")
    pools = [{"machine_spec": {"machine_type": "n1-standard-4"}, "container_spec": {"image_uri": "alpine"}}]
    CustomTrainingJobOp(display_name="j", worker_pool_specs=pools)


@pytest.mark.parametrize(
    ("pipeline", "executor", "reason"),
    [
        (
            with_ml,
            "bigquery-create-model-job",
            "bigquery-create-model-job cannot run here: BigQuery ML has no local counterpart",
        ),
        (with_spark, "dataproc-create-pyspark-batch", "Dataproc Serverless has no local counterpart"),
        (with_text, "text-dataset-create", "AutoML Text was shut down on 2025-06-15"),
        (
            with_evaluation,
            "model-evaluation-classification",
            "its program is in Google's image gcr.io/ml-pipeline/model-evaluation:v0.9.4",
        ),
    ],
)
def test_an_op_that_cannot_run_is_refused_before_the_run(rooms, pipeline, executor, reason):
    with pytest.raises(SpecError) as refused:
        rooms.engine.check(make_run(compiled(pipeline)))
    assert str(refused.value).startswith(f"deploymentSpec.executors.exec-{executor}.container: ")
    assert reason in str(refused.value)


def test_an_op_that_can_run_is_not(rooms):
    rooms.engine.check(make_run(compiled(runs)))


@pytest.mark.parametrize(
    ("image", "words", "images", "expected"),
    [
        (PRIVATE, (), {}, PRIVATE),
        ("python", (f'{{"image_uri": "{PRIVATE}"}}',), {}, PRIVATE),
        (PRIVATE, (), {PRIVATE.partition(":")[0]: "python"}, ""),
        ("us-docker.pkg.dev/vertex-ai/automl-tabular/kfp-v2-base:1", ("python3",), {}, ""),
        ("us-docker.pkg.dev/vertex-ai/training/tf-cpu.2-11", (), {}, ""),
        ("gcr.io/acme/model-evaluation", ("gcr.io/ml-pipeline/google-cloud-pipeline-components:1",), {}, ""),
    ],
)
def test_private_images(image, words, images, expected):
    assert private_image(image, words, images) == expected


def test_an_image_that_a_launchers_arguments_name_counts(rooms):
    spec = json_format.MessageToDict(CvTrainerOp.pipeline_spec)
    for task in spec["root"]["dag"]["tasks"].values():
        del task["inputs"]
    del spec["root"]["inputDefinitions"]
    with pytest.raises(SpecError, match="cv-trainer cannot run here: its program is in Google's image us-"):
        rooms.engine.check(make_run(spec))


@dsl.pipeline(name="get-dataset")
def get_dataset(name: str = "projects/p/locations/l/datasets/3"):
    dataset.GetVertexDatasetOp(dataset_resource_name=name)


def test_an_op_that_declares_gcp_resources_need_not_write_them(rooms):
    ended = rooms.run(get_dataset, "get-dataset")
    assert ended.state == "SUCCEEDED", ended
    [made] = ended.tasks["get-vertex-dataset"]["outputs"]["artifacts"]["dataset"]
    assert rooms.artifact(made)["metadata"] == {"resourceName": "projects/p/locations/l/datasets/3"}
