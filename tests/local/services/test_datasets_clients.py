"""Datasets as Google's unmodified SDK creates, imports, exports, changes and lists them."""

import json
import os
import subprocess
import sys

import pytest

from trainwright.local.server import LocalVertex

PROGRAM = """
import json, sys
from google.api_core import exceptions
from google.cloud import aiplatform, storage
from google.cloud import aiplatform_v1 as v1

def show(**values):
    print("= " + json.dumps(values))

BUCKET = "gs://trainwright-local"
aiplatform.init(project="any-project", location="us-central1")
bucket = storage.Client(project="any-project").bucket("trainwright-local")
put = lambda name, text: bucket.blob(name).upload_from_string(text)
read = lambda uri: storage.Blob.from_string(uri, client=bucket.client).download_as_text()
client = aiplatform.gapic.DatasetServiceClient(
    client_options={"api_endpoint": "us-central1-aiplatform.googleapis.com"}
)

# A table of two files, the second without a header.
put("t/a.csv", "id,label\\n" + "".join(f"{n},x\\n" for n in range(60)))
put("t/b.csv", "".join(f"{n},y\\n" for n in range(60, 100)))
table = aiplatform.TabularDataset.create(
    display_name="a table", gcs_source=[f"{BUCKET}/t/a.csv", f"{BUCKET}/t/b.csv"], labels={"team": "a"}
)
whole = table.export_data(f"{BUCKET}/out")
split = table.export_data_for_custom_training(
    f"{BUCKET}/out", split={"training_fraction": 0.5, "validation_fraction": 0.25, "test_fraction": 0.25}
)
counts = {key: int(value) for key, value in split["dataStats"].items()}
table.update(display_name="renamed", labels={"team": "b"})
found = aiplatform.TabularDataset.list(filter='labels.team="b"')
version = client.create_dataset_version(parent=table.resource_name, dataset_version={"display_name": "v"})
show(
    whole=[len(read(uri).splitlines()) for uri in whole],
    sum=sum(counts.values()),
    most=max(counts, key=counts.get),
    files=[uri.rpartition("/")[2] for uri in split["exportedFiles"]],
    found=[each.display_name for each in found],
    labels=found[0].labels,
    images=len(aiplatform.ImageDataset.list()),
    versions=[each.display_name for each in client.list_dataset_versions(parent=table.resource_name)],
    of=version.result().name.startswith(table.resource_name),
)

# Images, created and imported in one call.
for number in range(3):
    put(f"i/{number}.png", b"\\x89PNG\\r\\n\\x1a\\n" + bytes([number]))
use = {"aiplatform.googleapis.com/ml_use": "test"}
lines = [
    {"imageGcsUri": f"{BUCKET}/i/{n}.png", "classificationAnnotation": {"displayName": "ab"[n % 2]}}
    | ({"dataItemResourceLabels": use} if n == 2 else {})
    for n in range(3)
]
put("i/import.jsonl", "\\n".join(map(json.dumps, lines)))
single = aiplatform.schema.dataset.ioformat.image.single_label_classification
images = aiplatform.ImageDataset.create(
    display_name="images", gcs_source=f"{BUCKET}/i/import.jsonl", import_schema_uri=single
)
put("i/import.csv", f"training,{BUCKET}/i/0.png,a\\nTEST,{BUCKET}/i/2.png,a\\n")
images.import_data(gcs_source=f"{BUCKET}/i/import.csv", import_schema_uri=single)
items = list(client.list_data_items(parent=images.resource_name))
tested = client.list_data_items(
    request={"parent": images.resource_name, "filter": "labels.aiplatform.googleapis.com/ml_use=test"}
)
annotations = [each for item in items for each in client.list_annotations(parent=item.name)]
spec = annotations[0].payload["annotationSpecId"]
exported = images.export_data(f"{BUCKET}/out")
custom = images.export_data_for_custom_training(
    f"{BUCKET}/out",
    annotation_schema_uri=aiplatform.schema.dataset.annotation.image.classification,
    split={
        f"{name}_filter": f"labels.aiplatform.googleapis.com/ml_use={name}"
        for name in ("training", "validation", "test")
    },
)
show(
    count=client.get_dataset(name=images.resource_name).data_item_count,
    tested=len(list(tested)),
    said=sorted(each.payload["displayName"] for each in annotations),
    spec=client.get_annotation_spec(name=f"{images.resource_name}/annotationSpecs/{spec}").display_name,
    exported=[uri.split("/", 5)[5] for uri in exported],
    again=[sorted(json.loads(line)) for line in read(exported[0]).splitlines()],
    custom=custom["dataStats"],
)

# What is refused, and where the line points.
put("i/gone.csv", f"{BUCKET}/i/0.png,a\\n{BUCKET}/i/gone.png,a\\n")
put("i/bad.csv", f"{BUCKET}/i/0.png,a\\n{BUCKET}/i/1.png,a,b\\n")
put("t/ragged.csv", "id,label\\n1,2\\n3,4,5\\n")
ragged = aiplatform.TabularDataset.create(display_name="r", gcs_source=f"{BUCKET}/t/ragged.csv")
refusals = []
for attempt in (
    lambda: aiplatform.TextDataset.create(display_name="t"),
    lambda: aiplatform.VideoDataset.create(display_name="t"),
    lambda: aiplatform.TabularDataset.create(display_name="t", gcs_source="/tmp/x.csv"),
    lambda: aiplatform.TabularDataset.create(display_name="t", bq_source="bq://one.two"),
    lambda: images.import_data(gcs_source=f"{BUCKET}/i/bad.csv", import_schema_uri=single),
    lambda: images.import_data(gcs_source=f"{BUCKET}/i/gone.csv", import_schema_uri=single),
    lambda: images.import_data(gcs_source=f"{BUCKET}/none.csv", import_schema_uri=single),
    lambda: ragged.export_data(f"{BUCKET}/out"),
    lambda: client.import_data(name=table.resource_name, import_configs=[{}]),
    lambda: client.update_dataset(dataset={"name": table.resource_name, "etag": "x"}),
):
    try:
        attempt()
    except exceptions.GoogleAPICallError as error:
        refusals.append(f"{type(error).__name__}: {error.message}")
images.delete()
try:
    client.get_dataset(name=images.resource_name)
except exceptions.NotFound as error:
    refusals.append(type(error).__name__)
bigquery = aiplatform.TabularDataset.create(display_name="q", bq_source="bq://p.d.t")
source = bigquery.gca_resource.metadata["inputConfig"]["bigquerySource"]["uri"]
show(refusals=refusals, columns=sorted(ragged.column_names), bigquery=source)
"""


@pytest.fixture(scope="module")
def vertex(tmp_path_factory):
    with LocalVertex(tmp_path_factory.mktemp("vertex") / "state") as vertex:
        yield vertex


def test_the_sdk_creates_imports_exports_changes_and_lists_datasets(vertex):
    base = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=base | {"PYTHONDONTWRITEBYTECODE": ""} | vertex.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    table, images, refused = [
        json.loads(line[2:]) for line in done.stdout.splitlines() if line.startswith("= ")
    ]
    assert table == {
        "whole": [101],
        "sum": 100,
        "most": "trainingDataItemsCount",
        "files": ["training-*.csv", "validation-*.csv", "test-*.csv"],
        "found": ["renamed"],
        "labels": {"team": "b", "aiplatform.googleapis.com/dataset_metadata_schema": "TABULAR"},
        "images": 0,
        "versions": ["v"],
        "of": True,
    }
    item = ["classificationAnnotation", "imageGcsUri"]
    assert images == {
        "count": 3,
        "tested": 1,
        "said": ["a", "a", "b"],
        "spec": images["spec"],
        "exported": ["image_classification/data-00001-of-00001.jsonl", "image_classification/schema.yaml"],
        "again": [
            [item[0], "dataItemResourceLabels", item[1]],
            item,
            [item[0], "dataItemResourceLabels", item[1]],
        ],
        "custom": {"trainingDataItemsCount": "1", "testDataItemsCount": "1"},
    }
    expected = [
        "InvalidArgument: dataset.metadata_schema_uri: text Datasets: AutoML Text was shut down on 2025",
        "InvalidArgument: dataset.metadata_schema_uri: video Datasets: AutoML Video was shut down on 2025",
        "InvalidArgument: dataset.metadata.inputConfig.gcsSource.uri: '/tmp/x.csv'; expected gs://",
        "InvalidArgument: dataset.metadata.inputConfig.bigquerySource.uri: 'bq://one.two'; expected bq://",
        "InvalidArgument: gs://trainwright-local/i/bad.csv: line 2: 2 labels; expected one",
        "InvalidArgument: gs://trainwright-local/i/gone.csv: line 2: gs://trainwright-local/i/gone.png:",
        "InvalidArgument: gs://trainwright-local/none.csv: there is no such object",
        "InvalidArgument: gs://trainwright-local/t/ragged.csv: row 3 (line 3): 3 values; expected 2",
        "FailedPrecondition: projects/",
        "Aborted: dataset.etag 'x'",
        "NotFound",
    ]
    assert len(refused["refusals"]) == len(expected)
    for found, start in zip(refused["refusals"], expected, strict=True):
        assert start in found
    assert refused["columns"] == ["id", "label"]
    assert refused["bigquery"] == "bq://p.d.t"
