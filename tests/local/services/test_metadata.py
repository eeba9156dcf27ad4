import json
from types import SimpleNamespace

import pytest
from google.api_core.exceptions import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from google.cloud import aiplatform_v1 as v1
from google.protobuf import field_mask_pb2

from trainwright.local.services.metadata import Metadata
from trainwright.local.services.metadata_lineage import Lineage
from trainwright.local.services.metadata_runs import PipelineRuns
from trainwright.local.services.names import Project
from trainwright.local.services.operations import Operations
from trainwright.local.store import Store

LOCATION = "projects/100000000001/locations/us-central1"
PARENT = f"{LOCATION}/metadataStores/default"
BY_ID = PARENT.replace("100000000001", "any-project")


@pytest.fixture
def vertex(tmp_path):
    store = Store(tmp_path / "s")
    project = Project("trainwright-local", "100000000001")
    runs = PipelineRuns(store)
    service = Metadata(
        store=store,
        operations=Operations(store, project),
        project=project,
        runs=runs,
        lineage=Lineage(store, runs),
    )
    yield SimpleNamespace(service=service, store=store)
    store.close()


def artifact(vertex, name, **fields):
    request = v1.CreateArtifactRequest(parent=BY_ID, artifact=v1.Artifact(**fields), artifact_id=name)
    return vertex.service.create_artifact(request, None)


def context(vertex, name, **fields):
    request = v1.CreateContextRequest(parent=BY_ID, context=v1.Context(**fields), context_id=name)
    return vertex.service.create_context(request, None)


def execution(vertex, name, **fields):
    request = v1.CreateExecutionRequest(parent=BY_ID, execution=v1.Execution(**fields), execution_id=name)
    return vertex.service.create_execution(request, None)


def event(vertex, of, node, type_):
    request = v1.AddExecutionEventsRequest(
        execution=of.name, events=[v1.Event(artifact=node.name, type_=v1.Event.Type[type_])]
    )
    vertex.service.add_execution_events(request, None)


def listed(vertex, text, order_by="name"):
    request = v1.ListArtifactsRequest(parent=BY_ID, filter=text, order_by=order_by)
    return [each.name.rpartition("/")[2] for each in vertex.service.list_artifacts(request, None).artifacts]


def add_run(vertex, job, tasks, pipeline="churn", created=100.0):
    """What the service and the engine write of a run."""
    message = v1.PipelineJob(
        name=f"{LOCATION}/pipelineJobs/{job}",
        pipeline_spec={"pipelineInfo": {"name": pipeline}},
        create_time={"seconds": int(created)},
    )
    vertex.store.write(message.name, "pipelineJob", v1.PipelineJob.serialize(message))
    for number, (path, state, inputs, outputs) in tasks.items():
        content = {
            "taskId": number,
            "taskName": path.rpartition("/")[2] or pipeline,
            "path": path,
            "isDag": not path,
            "state": state,
            "createTime": created,
            "startTime": created + 1,
            "endTime": None if state == "RUNNING" else created + 2,
            "inputs": {
                "parameters": {"rate": 0.5},
                "artifacts": {"in": [f"{PARENT}/{each}" for each in inputs]},
            },
            "outputs": {"parameters": {}, "artifacts": {"out": [f"{PARENT}/{each}" for each in outputs]}},
        }
        name = f"{message.name}/tasks/{number}"
        vertex.store.write(name, "pipelineTask", json.dumps(content).encode())
        for each in outputs:
            name = f"{PARENT}/{each}"
            content = {
                "name": name,
                "displayName": "data",
                "uri": "gs://b/o",
                "schemaTitle": "system.Dataset",
            }
            content |= {"schemaVersion": "0.0.1", "metadata": {"rows": 3}, "createTime": created + 2}
            vertex.store.write(name, "artifact", json.dumps(content).encode())


def two_tasks(vertex, job="churn-1"):
    tasks = {
        "10": ("", "SUCCEEDED", [], []),
        "11": ("make", "SKIPPED", [], ["artifacts/7777"]),
        "12": ("train", "RUNNING", ["artifacts/7777"], []),
        "13": ("never", "NOT_TRIGGERED", [], []),
    }
    add_run(vertex, job, tasks)


def test_the_default_store_is_there_and_others_are_made(vertex):
    service = vertex.service
    assert service.get_metadata_store(v1.GetMetadataStoreRequest(name=BY_ID), None).name == PARENT
    other = BY_ID.replace("default", "other")
    with pytest.raises(NotFound):
        service.list_artifacts(v1.ListArtifactsRequest(parent=other), None)
    request = v1.CreateMetadataStoreRequest(parent=other.partition("/metadata")[0], metadata_store_id="other")
    assert service.create_metadata_store(request, None).done
    with pytest.raises(AlreadyExists):
        service.create_metadata_store(request, None)
    artifact(vertex, "kept")
    service.create_artifact(v1.CreateArtifactRequest(parent=other, artifact_id="gone"), None)
    service.delete_metadata_store(v1.DeleteMetadataStoreRequest(name=other), None)
    stores = service.list_metadata_stores(v1.ListMetadataStoresRequest(parent=LOCATION), None).metadata_stores
    assert [store.name for store in stores] == [PARENT]
    with pytest.raises(NotFound):
        service.get_artifact(v1.GetArtifactRequest(name=f"{other}/artifacts/gone"), None)
    with pytest.raises(FailedPrecondition):
        service.delete_metadata_store(v1.DeleteMetadataStoreRequest(name=PARENT), None)


def test_updates_heed_masks_and_etags(vertex):
    made = artifact(vertex, "data", uri="gs://b/o", description="first", metadata={"rows": 3})
    assert (made.name, made.schema_version) == (f"{PARENT}/artifacts/data", "")
    update = vertex.service.update_artifact
    mask = field_mask_pb2.FieldMask(paths=["description"])
    changes = v1.Artifact(name=made.name, description="second", uri="gs://other", etag=made.etag)
    changed = update(v1.UpdateArtifactRequest(artifact=changes, update_mask=mask), None)
    assert (changed.description, changed.uri, changed.metadata["rows"]) == ("second", "gs://b/o", 3)
    assert changed.etag > made.etag
    # Without a mask all that is set counts.
    changed = update(v1.UpdateArtifactRequest(artifact=v1.Artifact(name=made.name, uri="gs://new")), None)
    assert (changed.description, changed.uri) == ("second", "gs://new")
    with pytest.raises(
        Aborted, match=f"Specified Artifact `etag`: `{made.etag}` does not match server `etag`"
    ):
        update(v1.UpdateArtifactRequest(artifact=changes), None)
    with pytest.raises(InvalidArgument, match="create_time"):
        mask = field_mask_pb2.FieldMask(paths=["create_time"])
        update(v1.UpdateArtifactRequest(artifact=v1.Artifact(name=made.name), update_mask=mask), None)
    with pytest.raises(FailedPrecondition, match="etag"):
        vertex.service.delete_artifact(v1.DeleteArtifactRequest(name=made.name, etag=made.etag), None)
    vertex.service.delete_artifact(v1.DeleteArtifactRequest(name=made.name, etag=changed.etag), None)
    with pytest.raises(NotFound):
        update(v1.UpdateArtifactRequest(artifact=v1.Artifact(name=made.name)), None)
    made_again = update(
        v1.UpdateArtifactRequest(artifact=v1.Artifact(name=made.name, uri="gs://b/o"), allow_missing=True),
        None,
    )
    assert (made_again.name, made_again.description) == (made.name, "")


@pytest.mark.parametrize("name", ["abc", "Upper", "-dash", "a" * 129, "with/slash"])
def test_malformed_ids_are_refused(vertex, name):
    with pytest.raises(InvalidArgument, match="artifact_id"):
        artifact(vertex, name)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"display_name": "n" * 129}, "display_name"),
        ({"metadata": {"loss": float("nan")}}, "NaN"),
        ({"metadata": {"text": "x" * 200_001}}, "200,000"),
        ({"labels": {f"l{number}": "" for number in range(65)}}, "labels"),
    ],
)
def test_what_does_not_fit_is_refused(vertex, fields, message):
    with pytest.raises(InvalidArgument, match=message):
        context(vertex, "made", **fields)
    made = artifact(vertex, "made")
    with pytest.raises(InvalidArgument, match=message):
        vertex.service.update_artifact(
            v1.UpdateArtifactRequest(artifact=v1.Artifact(name=made.name, **fields)), None
        )


def test_filters_as_documented(vertex):
    artifact(
        vertex, "one-1", display_name="a", uri="gs://b/1", metadata={"rows": 3, "kind": "raw", "ok": True}
    )
    artifact(vertex, "two-2", schema_title="system.Model", metadata={"a:b": "x", "rows": 30})
    group = context(vertex, "group")
    request = v1.AddContextArtifactsAndExecutionsRequest(
        context=group.name.replace("100000000001", "any-project"), artifacts=[f"{PARENT}/artifacts/one-1"]
    )
    vertex.service.add_context_artifacts_and_executions(request, None)
    for text, expected in {
        "": ["one-1", "two-2"],
        'schema_title="system.Model"': ["two-2"],
        "metadata.rows.number_value = 3.0": ["one-1"],
        'metadata.kind.string_value="raw" AND metadata.ok.bool_value = true': ["one-1"],
        'metadata."a:b".string_value="x"': ["two-2"],
        f'in_context("{BY_ID}/contexts/group")': ["one-1"],
        f'NOT in_context("{PARENT}/contexts/group")': ["two-2"],
        f'in_context("{PARENT}/contexts/none")': [],
        f'schema_title="system.Model" OR in_context("{PARENT}/contexts/group")': ["one-1", "two-2"],
        'create_time > "2020-11-19T11:30:00-04:00" AND state != LIVE': ["one-1", "two-2"],
    }.items():
        assert listed(vertex, text) == expected, text
    with pytest.raises(InvalidArgument, match="field 'parent_contexts'"):
        listed(vertex, 'parent_contexts:"x"')
    with pytest.raises(InvalidArgument, match="functions here"):
        listed(vertex, 'within("x")')
    assert listed(vertex, "", order_by="metadata.rows desc") == ["two-2", "one-1"]


def test_contexts_have_parents_but_no_cycles(vertex):
    names = {name: context(vertex, name).name for name in ("experiment", "run-one", "step")}

    def add(parent, *children):
        request = v1.AddContextChildrenRequest(
            context=names[parent], child_contexts=[names[c] for c in children]
        )
        vertex.service.add_context_children(request, None)

    def found(text):
        request = v1.ListContextsRequest(parent=PARENT, filter=text, order_by="name")
        return [
            each.display_name or each.name[-7:]
            for each in vertex.service.list_contexts(request, None).contexts
        ]

    add("experiment", "run-one")
    add("experiment", "run-one")
    add("run-one", "step")
    assert found(f'parent_contexts:"{BY_ID}/contexts/experiment"') == ["run-one"]
    assert found(f'child_contexts:"{names["run-one"]}"') == ["eriment"]
    with pytest.raises(InvalidArgument, match="cycle"):
        add("step", "experiment")
    got = vertex.service.get_context(v1.GetContextRequest(name=names["run-one"]), None)
    assert list(got.parent_contexts) == [names["experiment"]]
    got.description = "kept apart from the links"
    vertex.service.update_context(v1.UpdateContextRequest(context=got), None)
    request = v1.RemoveContextChildrenRequest(context=names["experiment"], child_contexts=[names["run-one"]])
    vertex.service.remove_context_children(request, None)
    got = vertex.service.get_context(v1.GetContextRequest(name=names["run-one"]), None)
    assert (list(got.parent_contexts), got.description) == ([], "kept apart from the links")
    vertex.service.delete_context(v1.DeleteContextRequest(name=names["run-one"]), None)
    context(vertex, "run-one")  # of the old one's links none is left
    assert found(f'parent_contexts:"{names["run-one"]}"') == []


def test_lineage_follows_events_in_both_directions(vertex):
    nodes = {name: artifact(vertex, name, display_name=name) for name in ("raw1", "data", "model", "other")}
    prepare, train = execution(vertex, "prepare"), execution(vertex, "train")
    event(vertex, prepare, nodes["raw1"], "INPUT")
    event(vertex, prepare, nodes["data"], "OUTPUT")
    event(vertex, train, nodes["data"], "INPUT")
    event(vertex, train, nodes["model"], "OUTPUT")
    event(vertex, train, nodes["model"], "OUTPUT")  # again: skipped

    def around(start, **fields):
        request = v1.QueryArtifactLineageSubgraphRequest(artifact=nodes[start].name, **fields)
        graph = vertex.service.query_artifact_lineage_subgraph(request, None)
        return {each.display_name for each in graph.artifacts}, len(graph.executions), len(graph.events)

    assert around("model") == ({"raw1", "data", "model"}, 2, 4)
    assert around("model", max_hops=2) == ({"data", "model"}, 1, 2)
    assert around("model", filter='display_name!="data"') == ({"model"}, 1, 1)
    assert around("other") == ({"other"}, 0, 0)
    with pytest.raises(InvalidArgument, match="max_hops"):
        around("model", max_hops=-1)
    vertex.service.delete_artifact(v1.DeleteArtifactRequest(name=nodes["data"].name), None)
    request = v1.QueryExecutionInputsAndOutputsRequest(execution=train.name)
    graph = vertex.service.query_execution_inputs_and_outputs(request, None)
    assert [each.display_name for each in graph.artifacts] == ["model"]
    with pytest.raises(NotFound):
        event(vertex, train, nodes["data"], "INPUT")
    with pytest.raises(InvalidArgument, match="INPUT or OUTPUT"):
        event(vertex, train, nodes["raw1"], "TYPE_UNSPECIFIED")


def test_a_pipeline_run_is_two_contexts_and_an_execution_for_each_task(vertex):
    two_tasks(vertex)
    service = vertex.service
    run = service.get_context(v1.GetContextRequest(name=f"{BY_ID}/contexts/churn-1"), None)
    assert (run.schema_title, list(run.parent_contexts)) == (
        "system.PipelineRun",
        [f"{PARENT}/contexts/churn"],
    )
    for name in ("churn", "churn-1"):
        request = v1.ListExecutionsRequest(parent=PARENT, filter=f'in_context("{PARENT}/contexts/{name}")')
        found = service.list_executions(request, None).executions
        assert {(each.display_name, each.schema_title, each.state.name) for each in found} == {
            ("churn-1", "system.Run", "COMPLETE"),
            ("make", "system.ContainerExecution", "CACHED"),
            ("train", "system.ContainerExecution", "RUNNING"),
        }
        assert listed(vertex, f'in_context("{PARENT}/contexts/{name}")') == ["7777"]
    run_execution = service.get_execution(v1.GetExecutionRequest(name=f"{PARENT}/executions/10"), None)
    assert dict(run_execution.metadata) == {"input:rate": 0.5}
    with pytest.raises(NotFound):
        service.get_execution(v1.GetExecutionRequest(name=f"{PARENT}/executions/13"), None)
    request = v1.QueryArtifactLineageSubgraphRequest(artifact=f"{PARENT}/artifacts/7777")
    graph = service.query_artifact_lineage_subgraph(request, None)
    assert {(each.execution[-2:], each.type_.name) for each in graph.events} == {
        ("11", "OUTPUT"),
        ("12", "INPUT"),
    }
    two_tasks(vertex, "churn-2")
    contexts = service.list_contexts(v1.ListContextsRequest(parent=PARENT, order_by="name"), None).contexts
    assert [each.display_name for each in contexts] == ["churn", "churn-1", "churn-2"]


def test_what_users_add_to_a_pipeline_run_stays_and_what_the_engine_says_wins(vertex):
    two_tasks(vertex)
    service = vertex.service
    name = f"{PARENT}/executions/12"
    changes = v1.Execution(name=name, description="watch", metadata={"note": "mine", "input:rate": 0.1})
    changed = service.update_execution(v1.UpdateExecutionRequest(execution=changes), None)
    assert (changed.description, changed.state.name) == ("watch", "RUNNING")
    assert dict(changed.metadata) == {"note": "mine", "input:rate": 0.5}
    with pytest.raises(FailedPrecondition, match="task"):
        changes = v1.Execution(name=name, state=v1.Execution.State.FAILED)
        service.update_execution(v1.UpdateExecutionRequest(execution=changes), None)
    experiment, run = context(vertex, "experiment").name, f"{PARENT}/contexts/churn-1"
    request = v1.AddContextChildrenRequest(context=experiment, child_contexts=[run])
    service.add_context_children(request, None)
    parents = service.get_context(v1.GetContextRequest(name=run), None).parent_contexts
    assert list(parents) == [f"{PARENT}/contexts/churn", experiment]
    with pytest.raises(FailedPrecondition, match="delete the job"):
        service.delete_context(v1.DeleteContextRequest(name=run), None)
    with pytest.raises(AlreadyExists):
        context(vertex, "churn")
    for job in vertex.store.names("pipelineTask"):
        vertex.store.delete(job)
    vertex.store.delete(f"{LOCATION}/pipelineJobs/churn-1")
    with pytest.raises(NotFound):
        service.get_context(v1.GetContextRequest(name=f"{PARENT}/contexts/churn"), None)


def test_purge_shows_first_and_removes_when_forced(vertex):
    two_tasks(vertex)
    for name in ("old-1", "old-2"):
        execution(vertex, name, display_name="old")

    def purge(text, force):
        request = v1.PurgeExecutionsRequest(parent=PARENT, filter=text, force=force)
        answer = v1.PurgeExecutionsResponse.pb()()
        assert vertex.service.purge_executions(request, None).response.Unpack(answer)
        return answer.purge_count, len(answer.purge_sample)

    everything = 'create_time > "1970-01-01T00:00:00Z"'
    assert purge(everything, False) == (2, 2)
    assert purge(everything, True) == (2, 0)
    assert purge(everything, True) == (0, 0)
    left = vertex.service.list_executions(v1.ListExecutionsRequest(parent=PARENT), None).executions
    assert len(left) == 3  # those of the pipeline
    with pytest.raises(InvalidArgument, match="filter"):
        purge("", True)


def test_schemas_are_registered_once(vertex):
    schema = v1.MetadataSchema(
        schema="title: my.Data\ntype: object\n",
        schema_version="0.0.1",
        schema_type=v1.MetadataSchema.MetadataSchemaType.ARTIFACT_TYPE,
    )

    def create(**changes):
        message = v1.MetadataSchema(schema)
        for field, value in changes.items():
            setattr(message, field, value)
        request = v1.CreateMetadataSchemaRequest(parent=PARENT, metadata_schema=message)
        return vertex.service.create_metadata_schema(request, None)

    made = create()
    assert vertex.service.get_metadata_schema(v1.GetMetadataSchemaRequest(name=made.name), None) == made
    create(schema_version="0.0.2")
    with pytest.raises(AlreadyExists):
        create()
    for wrong in ({"schema": "[1"}, {"schema": "type: object"}, {"schema_version": "1"}):
        with pytest.raises(InvalidArgument, match=next(iter(wrong))):
            create(**wrong)
    request = v1.ListMetadataSchemasRequest(parent=PARENT, filter='schema_version="0.0.2"')
    assert len(vertex.service.list_metadata_schemas(request, None).metadata_schemas) == 1
