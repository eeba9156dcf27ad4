"""Metadata and TensorBoard: what the SDK's experiments write and read, and the methods beneath."""

import pytest
from google.cloud import aiplatform

METADATA, TENSORBOARD = "MetadataService", "TensorboardService"


def test_metadata_nodes(call, parent, unique):
    store = f"{parent}/metadataStores/default"
    artifact = {"schema_title": "system.Dataset", "uri": f"gs://b/{unique}", "labels": {"suite": unique}}
    made = call(
        METADATA,
        "create_artifact",
        parent=store,
        artifact=artifact,
        artifact_id=f"{unique}-{call.transport[-4:]}",
    )
    with call.refuses("ALREADY_EXISTS"):
        call(
            METADATA,
            "create_artifact",
            parent=store,
            artifact=artifact,
            artifact_id=made.name.rpartition("/")[2],
        )
    found = call(
        METADATA,
        "list_artifacts",
        parent=store,
        filter=f'uri="gs://b/{unique}" AND schema_title="system.Dataset"',
    )
    assert [each.name for each in found.artifacts] == [made.name]
    change = {"name": made.name, "display_name": "renamed", "uri": "gs://other"}
    changed = call(METADATA, "update_artifact", artifact=change, update_mask={"paths": ["display_name"]})
    assert (changed.display_name, changed.uri) == ("renamed", f"gs://b/{unique}")
    with call.refuses("INVALID_ARGUMENT"):
        call(METADATA, "list_artifacts", parent=store, filter="bogus_field=1")
    call.result(call(METADATA, "delete_artifact", name=made.name))
    with call.refuses("NOT_FOUND"):
        call(METADATA, "get_artifact", name=made.name)


def test_tensorboards(call, parent, unique):
    made = call.result(
        call(TENSORBOARD, "create_tensorboard", parent=parent, tensorboard={"display_name": unique})
    )
    experiment = call(
        TENSORBOARD, "create_tensorboard_experiment", parent=made.name, tensorboard_experiment_id="one"
    )
    with call.refuses("ALREADY_EXISTS"):
        call(TENSORBOARD, "create_tensorboard_experiment", parent=made.name, tensorboard_experiment_id="one")
    mask = {"paths": ["description"]}
    stale = {"name": experiment.name, "description": "x", "etag": experiment.etag}
    call(TENSORBOARD, "update_tensorboard_experiment", tensorboard_experiment=stale, update_mask=mask)
    with call.refuses("ABORTED"):
        call(TENSORBOARD, "update_tensorboard_experiment", tensorboard_experiment=stale, update_mask=mask)
    read = {"paths": ["name"]}
    listed = call(TENSORBOARD, "list_tensorboard_experiments", parent=made.name, read_mask=read)
    assert [each.name for each in listed.tensorboard_experiments] == [experiment.name]
    assert not listed.tensorboard_experiments[0].description
    call.result(call(TENSORBOARD, "delete_tensorboard", name=made.name))
    with call.refuses("NOT_FOUND"):
        call(TENSORBOARD, "get_tensorboard", name=made.name)


@pytest.mark.parametrize("transport", ["grpc"])
def test_experiments_of_the_sdk(project, location, unique, transport):
    aiplatform.init(
        project=project,
        location=location,
        experiment=unique,
        api_transport=transport,
        experiment_tensorboard=False,
    )
    with aiplatform.start_run("first"):
        aiplatform.log_params({"depth": 3})
        aiplatform.log_metrics({"auc": 0.9})
    table = aiplatform.get_experiment_df(unique)
    assert table.loc[0, "param.depth"] == 3 and table.loc[0, "metric.auc"] == 0.9
    aiplatform.Experiment(unique).delete()
