"""How nodes of ML metadata are connected: contexts with parents and members, executions with artifacts.

A link is a record of its own, so that two callers who add links never overwrite each other's. Links of
pipeline runs are not stored: they come from the engine's records.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator

from google.api_core.exceptions import FailedPrecondition, InvalidArgument
from google.cloud import aiplatform_v1 as v1

from trainwright.local.services.metadata_runs import Edge, PipelineRuns
from trainwright.local.services.resources import timestamp
from trainwright.local.store import Store

_MAX_PARENTS = 10  # reference of MetadataService.AddContextChildren, 2026-11
_MAX_SUBGRAPH = 1000  # reference of MetadataService.QueryArtifactLineageSubgraph, 2026-11


class Lineage:
    """The links between all nodes.

    Args:
        store: Holds the links that callers made: "contextParent" CHILD/parents/PARENT, "contextMember"
            CONTEXT/members/NODE and "executionEvent" EXECUTION/events/TYPE/ARTIFACT.
        runs: Knows those of pipeline runs.
    """

    def __init__(self, store: Store, runs: PipelineRuns) -> None:
        self._store = store
        self._runs = runs
        self._lock = threading.Lock()

    def with_parents(self, context: v1.Context) -> v1.Context:
        """A context with the parents that were added to those that a run has anyway."""
        if linked := self._linked(context.name):
            context.parent_contexts = [*dict.fromkeys([*context.parent_contexts, *linked])]
        return context

    def children(self, context: str) -> list[str]:
        """The names of a context's children."""
        ending = f"/parents/{context}"
        names = self._store.names("contextParent", context.partition("/contexts/")[0])
        linked = [name.removesuffix(ending) for name in names if name.endswith(ending)]
        return [*dict.fromkeys([*self._runs.context_children(context), *linked])]

    def add_children(self, context: str, children: Iterable[str]) -> None:
        """Makes contexts children of another; those that are already are skipped.

        Raises:
            InvalidArgument: A cycle would come of it, or a context would have more than 10 parents.
        """
        with self._lock:
            new = [child for child in children if context not in self._parents(child)]
            for child in new:
                if child == context or child in self._ancestors(context):
                    raise InvalidArgument(f"child_contexts {child!r}: is {context!r} or above it: a cycle")
                if len(self._parents(child)) >= _MAX_PARENTS:
                    raise InvalidArgument(f"child_contexts {child!r}: has {_MAX_PARENTS} parents already")
            self._store.write_many((f"{child}/parents/{context}", "contextParent", b"") for child in new)

    def remove_children(self, context: str, children: Iterable[str]) -> None:
        """Ends that contexts are children of another; those that are not are skipped.

        Raises:
            FailedPrecondition: The child is a run of the pipeline that is the parent.
        """
        children = [*children]
        for child in set(children) & set(self._runs.context_children(context)):
            raise FailedPrecondition(f"child_contexts {child!r}: is a run of that pipeline")
        for child in children:
            self._store.delete(f"{child}/parents/{context}")

    def add_members(self, context: str, nodes: Iterable[str]) -> None:
        """Adds artifacts and executions to a context; those that are in it are skipped."""
        self._store.write_many((f"{context}/members/{node}", "contextMember", b"") for node in nodes)

    def members(self, context: str) -> set[str]:
        """The names of the artifacts and executions in a context."""
        beginning = f"{context}/members/"
        names = self._store.names("contextMember", beginning)
        return {name.removeprefix(beginning) for name in names} | self._runs.context_members(context)

    def add_events(self, execution: str, events: Iterable[v1.Event]) -> None:
        """Records events of an execution; one that exists already is skipped."""
        now = timestamp(time.time())
        rows = []
        for event in events:
            name = f"{execution}/events/{event.type_.name}/{event.artifact}"
            if self._store.read(name) is None:
                event.execution, event.event_time = execution, now
                rows.append((name, "executionEvent", v1.Event.serialize(event)))
        self._store.write_many(rows)

    def execution_events(self, execution: str) -> list[v1.Event]:
        """The events of an execution, those of a pipeline's task first."""
        derived = [_event(edge) for edge in self._runs.execution_edges(execution)]
        known = {(event.type_, event.artifact) for event in derived}
        stored = self._stored(f"{execution}/events/")
        return [*derived, *(event for event in stored if (event.type_, event.artifact) not in known)]

    def around(self, artifact: str, max_hops: int, keep: Callable[[str], bool]) -> list[v1.Event]:
        """The events by which an artifact is connected, directly or through others.

        Args:
            artifact: Where to begin.
            max_hops: How many events away; 0: as many as there are, since the field's absence reads so.
            keep: Whether another artifact belongs to the graph; what is behind one that does not is left out.

        Raises:
            FailedPrecondition: There are more than 1,000 events.
        """
        metadata_store = artifact.partition("/artifacts/")[0]
        events = [_event(edge) for edge in self._runs.all_edges(metadata_store)]
        events += self._stored(f"{metadata_store}/executions/")
        by_node: dict[str, list[v1.Event]] = {}
        for event in events:
            for node in (event.artifact, event.execution):
                by_node.setdefault(node, []).append(event)
        found: dict[tuple[str, str, int], v1.Event] = {}
        seen, frontier, hops = {artifact}, [artifact], 0
        while frontier and (hops < max_hops or not max_hops):
            reached = []
            for node in frontier:
                for event in by_node.get(node, ()):
                    other = event.artifact if node == event.execution else event.execution
                    if other not in seen and other == event.artifact and not keep(other):
                        continue
                    found[event.execution, event.artifact, event.type_] = event
                    if other not in seen:
                        seen.add(other)
                        reached.append(other)
            frontier, hops = reached, hops + 1
            check_size(len(found))
        return [*found.values()]

    def forget(self, node: str) -> None:
        """Removes every link of a node that was deleted."""
        for kind in ("contextParent", "contextMember", "executionEvent"):
            for name in self._store.names(kind, node.partition("/metadataStores/")[0]):
                if name.startswith(f"{node}/") or name.endswith(f"/{node}"):
                    self._store.delete(name)

    def _parents(self, context: str) -> list[str]:
        derived = self._runs.context(context)
        own = derived.parent_contexts if derived else ()
        return [*dict.fromkeys([*own, *self._linked(context)])]

    def _linked(self, context: str) -> list[str]:
        """The parents that callers gave a context."""
        beginning = f"{context}/parents/"
        return [name.removeprefix(beginning) for name in self._store.names("contextParent", beginning)]

    def _ancestors(self, context: str) -> set[str]:
        found: set[str] = set()
        waiting = self._parents(context)
        while waiting:
            parent = waiting.pop()
            if parent not in found:
                found.add(parent)
                waiting += self._parents(parent)
        return found

    def _stored(self, prefix: str) -> Iterator[v1.Event]:
        for record in self._store.list("executionEvent", prefix):
            yield v1.Event.deserialize(record.payload)


def check_size(count: int) -> None:
    """Refuses a graph that is too large to be answered.

    Raises:
        FailedPrecondition: More than 1,000 nodes of a type, or events.
    """
    if count > _MAX_SUBGRAPH:
        raise FailedPrecondition(f"lineage subgraph: more than {_MAX_SUBGRAPH:,} nodes or events")


def _event(edge: Edge) -> v1.Event:
    return v1.Event(
        execution=edge.execution,
        artifact=edge.artifact,
        type_=v1.Event.Type[edge.type],
        event_time=timestamp(edge.time),
    )
