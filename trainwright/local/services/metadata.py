"""`google.cloud.aiplatform.v1.MetadataService`: artifacts, contexts, executions and their lineage.

What pipelines did is seen through the same methods (`metadata_runs`).
"""

import re
from collections.abc import Iterable
from typing import Any

from google.api_core.exceptions import InvalidArgument, NotFound
from google.cloud import aiplatform_v1 as v1
from google.longrunning.operations_pb2 import Operation
from google.protobuf import empty_pb2

from trainwright.local.services.filters import Predicate, page, required_calls
from trainwright.local.services.metadata_lineage import Lineage, check_size
from trainwright.local.services.metadata_nodes import ARTIFACT, CONTEXT, EXECUTION, Nodes, NodeType
from trainwright.local.services.metadata_runs import PipelineRuns
from trainwright.local.services.metadata_stores import MetadataStores
from trainwright.local.services.names import Project
from trainwright.local.services.operations import Operations
from trainwright.local.store import Store

_MAX_SAMPLE = 100  # reference of PurgeArtifactsResponse.purge_sample, 2026-11
_RELATED = re.compile(r"""((?:parent|child)_contexts\s*:\s*["'])(projects/[^"']+)""")


class Metadata:
    """The methods of MetadataService.

    Args:
        store: Holds nodes and links.
        operations: For methods that answer with an operation.
        project: For the number in names.
        runs: The contexts and executions of pipeline runs.
        lineage: The links between nodes.
    """

    def __init__(
        self, *, store: Store, operations: Operations, project: Project, runs: PipelineRuns, lineage: Lineage
    ) -> None:
        self._operations = operations
        self._project = project
        self._lineage = lineage
        self._stores = MetadataStores(store)
        self._artifacts: Nodes[v1.Artifact] = Nodes(store, ARTIFACT)
        self._contexts: Nodes[v1.Context] = Nodes(
            store,
            CONTEXT,
            derived=runs.context,
            all_derived=runs.contexts,
            present=lineage.with_parents,
            children=lineage.children,
        )
        self._executions: Nodes[v1.Execution] = Nodes(
            store, EXECUTION, derived=runs.execution, all_derived=runs.executions
        )

    def create_metadata_store(self, request: v1.CreateMetadataStoreRequest, context: Any) -> Operation:
        """Makes a metadata store."""
        parent = self._project.canonical(request.parent)
        made = self._stores.create(parent, request.metadata_store, request.metadata_store_id)
        return self._operations.done(made.name, made, v1.CreateMetadataStoreOperationMetadata())

    def get_metadata_store(self, request: v1.GetMetadataStoreRequest, context: Any) -> v1.MetadataStore:
        """The metadata store; `default` is made when it is not there yet."""
        return self._stores.get(self._project.canonical(request.name))

    def list_metadata_stores(
        self, request: v1.ListMetadataStoresRequest, context: Any
    ) -> v1.ListMetadataStoresResponse:
        """The metadata stores of a location."""
        stores = self._stores.all(self._project.canonical(request.parent))
        found, token = page(stores, request.page_size, request.page_token, "")
        return v1.ListMetadataStoresResponse(metadata_stores=found, next_page_token=token)

    def delete_metadata_store(self, request: v1.DeleteMetadataStoreRequest, context: Any) -> Operation:
        """Removes a metadata store with all that is in it; not `default`."""
        name = self._project.canonical(request.name)
        self._stores.delete(name)
        metadata = v1.DeleteMetadataStoreOperationMetadata()
        return self._operations.done(name, empty_pb2.Empty(), metadata)

    def create_metadata_schema(
        self, request: v1.CreateMetadataSchemaRequest, context: Any
    ) -> v1.MetadataSchema:
        """Registers a schema. Nodes may name schemas that are not registered."""
        parent = self._project.canonical(request.parent)
        return self._stores.create_schema(parent, request.metadata_schema, request.metadata_schema_id)

    def get_metadata_schema(self, request: v1.GetMetadataSchemaRequest, context: Any) -> v1.MetadataSchema:
        """A schema that was registered."""
        return self._stores.get_schema(self._project.canonical(request.name))

    def list_metadata_schemas(
        self, request: v1.ListMetadataSchemasRequest, context: Any
    ) -> v1.ListMetadataSchemasResponse:
        """The schemas that were registered; Vertex AI's own are not among them."""
        found, token = self._stores.page_schemas(self._parent(request), request)
        return v1.ListMetadataSchemasResponse(metadata_schemas=found, next_page_token=token)

    def create_artifact(self, request: v1.CreateArtifactRequest, context: Any) -> v1.Artifact:
        """Records an artifact; pipelines may take it as an input."""
        return self._artifacts.create(self._parent(request), request.artifact, request.artifact_id)

    def get_artifact(self, request: v1.GetArtifactRequest, context: Any) -> v1.Artifact:
        """An artifact, of a pipeline or not."""
        return self._artifacts.get(self._project.canonical(request.name))

    def list_artifacts(self, request: v1.ListArtifactsRequest, context: Any) -> v1.ListArtifactsResponse:
        """The artifacts that a filter lets through."""
        found, token = self._page(self._artifacts, ARTIFACT, request)
        return v1.ListArtifactsResponse(artifacts=found, next_page_token=token)

    def update_artifact(self, request: v1.UpdateArtifactRequest, context: Any) -> v1.Artifact:
        """Changes an artifact."""
        return self._updated(self._artifacts, request.artifact, request)

    def delete_artifact(self, request: v1.DeleteArtifactRequest, context: Any) -> Operation:
        """Forgets an artifact; what its URI names stays."""
        return self._deleted(self._artifacts, request)

    def purge_artifacts(self, request: v1.PurgeArtifactsRequest, context: Any) -> Operation:
        """Forgets the artifacts that a filter lets through."""
        count, sample = self._purge(self._artifacts, ARTIFACT, request)
        answer = v1.PurgeArtifactsResponse(purge_count=count, purge_sample=sample)
        return self._operations.done(self._parent(request), answer, v1.PurgeArtifactsMetadata())

    def create_context(self, request: v1.CreateContextRequest, context: Any) -> v1.Context:
        """Records a context."""
        return self._contexts.create(self._parent(request), request.context, request.context_id)

    def get_context(self, request: v1.GetContextRequest, context: Any) -> v1.Context:
        """A context; also that of a pipeline or a run."""
        return self._contexts.get(self._project.canonical(request.name))

    def list_contexts(self, request: v1.ListContextsRequest, context: Any) -> v1.ListContextsResponse:
        """The contexts that a filter lets through."""
        found, token = self._page(self._contexts, CONTEXT, request)
        return v1.ListContextsResponse(contexts=found, next_page_token=token)

    def update_context(self, request: v1.UpdateContextRequest, context: Any) -> v1.Context:
        """Changes a context."""
        return self._updated(self._contexts, request.context, request)

    def delete_context(self, request: v1.DeleteContextRequest, context: Any) -> Operation:
        """Removes a context; what is in it stays."""
        return self._deleted(self._contexts, request)

    def purge_contexts(self, request: v1.PurgeContextsRequest, context: Any) -> Operation:
        """Removes the contexts that a filter lets through; not those of pipelines and runs."""
        count, sample = self._purge(self._contexts, CONTEXT, request)
        answer = v1.PurgeContextsResponse(purge_count=count, purge_sample=sample)
        return self._operations.done(self._parent(request), answer, v1.PurgeContextsMetadata())

    def add_context_artifacts_and_executions(
        self, request: v1.AddContextArtifactsAndExecutionsRequest, context: Any
    ) -> v1.AddContextArtifactsAndExecutionsResponse:
        """Adds artifacts and executions to a context.

        Raises:
            NotFound: The context, or one of them, does not exist; nothing was added.
        """
        name = self._contexts.get(self._project.canonical(request.context)).name
        nodes = [self._artifacts.get(self._project.canonical(node)).name for node in request.artifacts]
        nodes += [self._executions.get(self._project.canonical(node)).name for node in request.executions]
        self._lineage.add_members(name, nodes)
        return v1.AddContextArtifactsAndExecutionsResponse()

    def add_context_children(
        self, request: v1.AddContextChildrenRequest, context: Any
    ) -> v1.AddContextChildrenResponse:
        """Makes contexts children of another.

        Raises:
            NotFound: One of the contexts does not exist; nothing was added.
            InvalidArgument: A cycle would come of it, or a context would have more than 10 parents.
        """
        name = self._contexts.get(self._project.canonical(request.context)).name
        children = [
            self._contexts.get(self._project.canonical(child)).name for child in request.child_contexts
        ]
        self._lineage.add_children(name, children)
        return v1.AddContextChildrenResponse()

    def remove_context_children(
        self, request: v1.RemoveContextChildrenRequest, context: Any
    ) -> v1.RemoveContextChildrenResponse:
        """Ends that contexts are children of another."""
        name = self._contexts.get(self._project.canonical(request.context)).name
        children = [self._project.canonical(child) for child in request.child_contexts]
        self._lineage.remove_children(name, children)
        return v1.RemoveContextChildrenResponse()

    def query_context_lineage_subgraph(
        self, request: v1.QueryContextLineageSubgraphRequest, context: Any
    ) -> v1.LineageSubgraph:
        """The artifacts and executions in a context, with the events between them."""
        name = self._contexts.get(self._project.canonical(request.context)).name
        members = self._lineage.members(name)
        executions = sorted(member for member in members if "/executions/" in member)
        events = [event for node in executions for event in self._lineage.execution_events(node)]
        return self._subgraph(members, [event for event in events if event.artifact in members])

    def create_execution(self, request: v1.CreateExecutionRequest, context: Any) -> v1.Execution:
        """Records an execution."""
        return self._executions.create(self._parent(request), request.execution, request.execution_id)

    def get_execution(self, request: v1.GetExecutionRequest, context: Any) -> v1.Execution:
        """An execution; also that of a pipeline's task."""
        return self._executions.get(self._project.canonical(request.name))

    def list_executions(self, request: v1.ListExecutionsRequest, context: Any) -> v1.ListExecutionsResponse:
        """The executions that a filter lets through."""
        found, token = self._page(self._executions, EXECUTION, request)
        return v1.ListExecutionsResponse(executions=found, next_page_token=token)

    def update_execution(self, request: v1.UpdateExecutionRequest, context: Any) -> v1.Execution:
        """Changes an execution; not the state of a pipeline's task."""
        return self._updated(self._executions, request.execution, request)

    def delete_execution(self, request: v1.DeleteExecutionRequest, context: Any) -> Operation:
        """Removes an execution with its events."""
        return self._deleted(self._executions, request)

    def purge_executions(self, request: v1.PurgeExecutionsRequest, context: Any) -> Operation:
        """Removes the executions that a filter lets through; not those of pipelines' tasks."""
        count, sample = self._purge(self._executions, EXECUTION, request)
        answer = v1.PurgeExecutionsResponse(purge_count=count, purge_sample=sample)
        return self._operations.done(self._parent(request), answer, v1.PurgeExecutionsMetadata())

    def add_execution_events(
        self, request: v1.AddExecutionEventsRequest, context: Any
    ) -> v1.AddExecutionEventsResponse:
        """Notes that an execution read or wrote artifacts.

        Raises:
            NotFound: The execution, or an artifact, does not exist; nothing was added.
            InvalidArgument: An event is neither INPUT nor OUTPUT.
        """
        name = self._executions.get(self._project.canonical(request.execution)).name
        for event in request.events:
            event.artifact = self._artifacts.get(self._project.canonical(event.artifact)).name
            if event.type_ not in (v1.Event.Type.INPUT, v1.Event.Type.OUTPUT):
                raise InvalidArgument("events: type: expected INPUT or OUTPUT")
        self._lineage.add_events(name, request.events)
        return v1.AddExecutionEventsResponse()

    def query_execution_inputs_and_outputs(
        self, request: v1.QueryExecutionInputsAndOutputsRequest, context: Any
    ) -> v1.LineageSubgraph:
        """An execution with the artifacts that it read and wrote."""
        name = self._executions.get(self._project.canonical(request.execution)).name
        events = self._lineage.execution_events(name)
        return self._subgraph([name, *(event.artifact for event in events)], events)

    def query_artifact_lineage_subgraph(
        self, request: v1.QueryArtifactLineageSubgraphRequest, context: Any
    ) -> v1.LineageSubgraph:
        """An artifact with what it came from and what came of it.

        Raises:
            InvalidArgument: `max_hops` is negative, or the filter is none.
            FailedPrecondition: The answer has more than 1,000 nodes or events.
        """
        name = self._artifacts.get(self._project.canonical(request.artifact)).name
        if request.max_hops < 0:
            raise InvalidArgument(f"max_hops {request.max_hops}: expected 0 or more")

        def keep(artifact: str) -> bool:
            found = self._artifacts.find(artifact)
            return found is not None and bool(self._artifacts.matching([found], request.filter, {}))

        events = self._lineage.around(name, request.max_hops, keep)
        return self._subgraph(
            [name, *(node for event in events for node in (event.artifact, event.execution))], events
        )

    def _parent(self, request: Any) -> str:
        """The metadata store that a request names."""
        return self._stores.get(self._project.canonical(request.parent)).name

    def _in_context(self, name: str) -> Predicate:
        members = self._lineage.members(self._project.canonical(name))
        return lambda node: node["name"] in members

    def _candidates(self, nodes: Nodes, node_type: NodeType, request: Any) -> list[Any]:
        """The nodes that a filter may let through: when it asks for a context, those in the context."""
        parent = self._parent(request)
        # Names in a filter may have the project's id; stored ones have its number.
        request.filter = _RELATED.sub(
            lambda found: found[1] + self._project.canonical(found[2]), request.filter
        )
        contexts = required_calls(request.filter, "in_context") if node_type is not CONTEXT else []
        if not contexts:
            return nodes.all(parent)
        members = self._lineage.members(self._project.canonical(contexts[0]))
        names = sorted(name for name in members if name.startswith(node_type.collection(parent)))
        return [node for node in map(nodes.find, names) if node is not None]

    def _page(self, nodes: Nodes, node_type: NodeType, request: Any) -> tuple[list[Any], str]:
        functions = {"in_context": self._in_context} if node_type is not CONTEXT else {}
        return nodes.page(self._candidates(nodes, node_type, request), request, functions)

    def _updated(self, nodes: Nodes, changes: Any, request: Any) -> Any:
        name = self._project.canonical(changes.name)
        self._stores.get("/".join(name.split("/")[:6]))
        return nodes.update(name, changes, request.update_mask.paths, request.allow_missing)

    def _deleted(self, nodes: Nodes, request: Any) -> Operation:
        name = self._project.canonical(request.name)
        nodes.delete(name, request.etag)
        self._lineage.forget(name)
        return self._operations.done(name, empty_pb2.Empty(), v1.DeleteOperationMetadata())

    def _purge(self, nodes: Nodes, node_type: NodeType, request: Any) -> tuple[int, list[str]]:
        """How many nodes a filter lets through, and some of their names unless they were removed."""
        if not request.filter:
            raise InvalidArgument("filter: empty; expected which nodes to purge")
        functions = {"in_context": self._in_context} if node_type is not CONTEXT else {}
        found = nodes.matching(self._candidates(nodes, node_type, request), request.filter, functions)
        names = [node.name for node in found if not nodes.is_derived(node.name)]
        if not request.force:
            return len(names), names[:_MAX_SAMPLE]
        for name in names:
            try:
                nodes.delete(name)
            except NotFound:
                continue  # somebody else was faster
            self._lineage.forget(name)
        return len(names), []

    def _subgraph(self, names: Iterable[str], events: list[v1.Event]) -> v1.LineageSubgraph:
        """The nodes of those names that exist, with the events between them."""
        artifacts, executions = {}, {}
        for name in dict.fromkeys(names):
            if "/artifacts/" in name and (artifact := self._artifacts.find(name)) is not None:
                artifacts[name] = artifact
            elif "/executions/" in name and (execution := self._executions.find(name)) is not None:
                executions[name] = execution
        kept = [event for event in events if event.artifact in artifacts and event.execution in executions]
        check_size(max(len(artifacts), len(executions), len(kept)))
        return v1.LineageSubgraph(
            artifacts=[*artifacts.values()], executions=[*executions.values()], events=kept
        )
