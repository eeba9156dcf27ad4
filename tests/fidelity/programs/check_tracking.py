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


def test_runs_and_time_series(call, parent, unique):
    tensorboard = {"display_name": unique}
    board = call.result(call(TENSORBOARD, "create_tensorboard", parent=parent, tensorboard=tensorboard)).name
    experiment = call(
        TENSORBOARD, "create_tensorboard_experiment", parent=board, tensorboard_experiment_id="one"
    ).name
    assert call(TENSORBOARD, "get_tensorboard_experiment", name=experiment).name == experiment
    run = {"display_name": "first"}
    run = call(
        TENSORBOARD,
        "create_tensorboard_run",
        parent=experiment,
        tensorboard_run=run,
        tensorboard_run_id="first",
    ).name
    requests = [
        {"parent": run, "tensorboard_time_series": {"display_name": name, "value_type": "SCALAR"}}
        for name in ("loss", "auc")
    ]
    made = call(TENSORBOARD, "batch_create_tensorboard_time_series", parent=experiment, requests=requests)
    loss, auc = (each.name for each in made.tensorboard_time_series)
    series = {"tensorboard_time_series_id": loss.rpartition("/")[2], "value_type": "SCALAR"}
    series["values"] = [{"step": step, "scalar": {"value": 1 / step}} for step in (1, 2, 4)]
    call(TENSORBOARD, "write_tensorboard_run_data", tensorboard_run=run, time_series_data=[series])
    read = call(TENSORBOARD, "read_tensorboard_time_series_data", tensorboard_time_series=loss)
    assert [(each.step, each.scalar.value) for each in read.time_series_data.values] == [
        (1, 1),
        (2, 0.5),
        (4, 0.25),
    ]
    listed = call(TENSORBOARD, "list_tensorboard_time_series", parent=run).tensorboard_time_series
    assert {each.name for each in listed} == {loss, auc}
    mask = {"paths": ["description"]}
    changed = {"name": run, "description": "changed"}
    call(TENSORBOARD, "update_tensorboard_run", tensorboard_run=changed, update_mask=mask)
    assert call(TENSORBOARD, "get_tensorboard_run", name=run).description == "changed"
    changed = {"name": loss, "description": "changed"}
    call(TENSORBOARD, "update_tensorboard_time_series", tensorboard_time_series=changed, update_mask=mask)
    for method, name in (
        ("delete_tensorboard_time_series", auc),
        ("delete_tensorboard_run", run),
        ("delete_tensorboard_experiment", experiment),
        ("delete_tensorboard", board),
    ):
        call.result(call(TENSORBOARD, method, name=name))
        with call.refuses("NOT_FOUND"):
            call.wait(call(TENSORBOARD, method, name=name))


def test_lineage_of_a_context_and_purges(call, parent, unique):
    store = f"{parent}/metadataStores/default"
    suffix = f"{unique}-{call.transport[-4:]}"
    nodes = {}
    for create, schema in (
        ("create_artifact", "Artifact"),
        ("create_execution", "ContainerExecution"),
        ("create_context", "Pipeline"),
    ):
        kind = create.partition("_")[2]
        node = {"schema_title": f"system.{schema}", "display_name": suffix}
        made = call(METADATA, create, **{"parent": store, kind: node, f"{kind}_id": f"{kind}-{suffix}"})
        nodes[kind] = made.name
    call(
        METADATA,
        "add_context_artifacts_and_executions",
        context=nodes["context"],
        artifacts=[nodes["artifact"]],
        executions=[nodes["execution"]],
    )
    graph = call(METADATA, "query_context_lineage_subgraph", context=nodes["context"])
    assert [each.name for each in graph.artifacts] == [nodes["artifact"]]
    assert [each.name for each in graph.executions] == [nodes["execution"]]
    call.result(call(METADATA, "delete_execution", name=nodes["execution"]))
    text = f'display_name="{suffix}"'
    for purge in ("purge_artifacts", "purge_contexts"):
        assert call.result(call(METADATA, purge, parent=store, filter=text)).purge_count == 1
        call.result(call(METADATA, purge, parent=store, filter=text, force=True))
    for get in ("get_artifact", "get_execution", "get_context"):
        with call.refuses("NOT_FOUND"):
            call(METADATA, get, name=nodes[get.partition("_")[2]])


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
