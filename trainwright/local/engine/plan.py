"""Which tasks are ready: a function of the spec, the run and the events so far, without any effect.

A `Plan` is told what happened (`begin`, `started`, `finished`, `cancelled`) and answers each time with a
`Decision`: the nodes whose state changed, to be committed, and the executors that may run, to be started
after that. The same events in the same order give the same decisions; each event costs time in proportion to
the tasks that it touches. After a crash a new plan is made with what was recorded, and comes to the same
state.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from trainwright.local.engine.aggregate import OutputError, dag_outputs, iterator_outputs
from trainwright.local.engine.expressions import ExpressionError, holds
from trainwright.local.engine.inputs import (
    InputError,
    configured,
    items_of,
    resolve,
    with_artifact,
    with_item,
)
from trainwright.local.engine.names import run_values, task_values
from trainwright.local.engine.outcomes import (
    CANCELLED_CODE,
    NO_INPUTS,
    NO_OUTPUTS,
    Artifact,
    Failure,
    Inputs,
    Outcome,
    Outputs,
    State,
    failed,
)
from trainwright.local.engine.pipeline_run import PipelineRun
from trainwright.local.engine.resources import NO_RESOURCES, Resources
from trainwright.local.engine.spec import Component, Container, Importer, Spec, Task

# Vertex AI, "Quotas and limits", 2026-08-22: tasks of a pipeline job.
MAX_TASKS = 10_000


class Kind(Enum):
    """What a node is."""

    DAG = "dag"
    ITERATOR = "iterator"
    EXECUTOR = "executor"


@dataclass(slots=True, eq=False)
class Node:
    """A task of the run: a DAG, a ParallelFor or an executor's task; also each iteration of a ParallelFor.

    Attributes:
        path: Unique in the run: "train/fit[3]"; "" is the root.
        key: The task's key in the spec, or the pipeline's name.
        exempt: It belongs to an exit handler, which runs after a failure under FAIL_FAST as well.
        waiting: Upstream tasks that have not ended.
        open: Children that have not ended.
        children: Of a DAG by key; of a ParallelFor by index.
        items: What a ParallelFor iterates over.
        failed: How many tasks in it have failed, groups not counted.
        first: When the task whose failure is its reason ended, as a place in the record; infinity for now.
        resources: What an executor's task asks of its machine, resolved.
    """

    path: str
    key: str
    kind: Kind
    component: Component
    task: Task | None
    parent: "Node | None"
    exempt: bool = False
    waiting: int = 0
    open: int = 0
    state: State = State.WAITING
    inputs: Inputs = NO_INPUTS
    outputs: Outputs = NO_OUTPUTS
    failure: Failure | None = None
    children: "dict[str, Node]" = field(default_factory=dict)
    items: tuple[Any, ...] = ()
    failed: int = 0
    first: float = math.inf
    resources: Resources = NO_RESOURCES


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from an event. Commit the changed nodes, then start the ready ones."""

    changed: tuple[Node, ...]
    ready: tuple[Node, ...]


class Plan:
    """The state of one run's tasks.

    Args:
        spec: The pipeline.
        run: Gives the placeholders' values and the failure policy.
        inputs: The root's inputs, with defaults.
        recorded: Outcomes by path that an earlier process committed, in the order in which the tasks ended.
            Those of executors' tasks and of what was not triggered are taken as they are; of groups, which
            are decided again, only the order counts.
        begun: Paths of tasks that an earlier process had begun; FAIL_FAST does not stop these.
        workspace_path: The run's workspace.
    """

    def __init__(
        self,
        spec: Spec,
        run: PipelineRun,
        inputs: Inputs,
        recorded: Mapping[str, Outcome] | None = None,
        begun: AbstractSet[str] = frozenset(),
        workspace_path: str = "",
    ) -> None:
        self.root = Node("", spec.name, Kind.DAG, spec.root, None, None, inputs=inputs)
        self._spec = spec
        self._run = run
        self._names = run_values(run, workspace_path)
        self._dialect = run.dialect
        self._recorded = recorded or {}
        self._places = {path: place for place, path in enumerate(self._recorded)}
        self._begun = begun
        self._executors: dict[str, Node] = {}
        self._failed = False
        self._cancelled = False
        self._queue: deque[tuple[Callable[[Node], None], Node]] = deque()
        self._changed: dict[Node, None] = {}
        self._ready: list[Node] = []

    @property
    def is_cancelled(self) -> bool:
        """Whether the run is to stop."""
        return self._cancelled

    def executor(self, node: Node) -> Container | Importer:
        """What an executor's node runs."""
        return self._spec.executors[node.component.executor]

    def node(self, path: str) -> Node:
        """The node of an executor that was offered."""
        return self._executors[path]

    def names(self, node: Node) -> dict[str, str]:
        """What placeholders stand for in a node."""
        return self._names | task_values(self._run, node.key, node.path)

    def begin(self) -> Decision:
        """The run starts, or goes on."""
        self._queue.append((self._open_dag, self.root))
        return self._decide()

    def started(self, path: str) -> Decision:
        """The process of a ready task has been started."""
        node = self._executors[path]
        if not node.state.is_final:
            self._change(node, State.RUNNING)
        return self._decide()

    def retried(self, path: str) -> Decision:
        """A task failed and waits to run again."""
        self._change(self._executors[path], State.PENDING)
        return self._decide()

    def finished(self, path: str, outcome: Outcome) -> Decision:
        """A ready task has ended. A second end of the same task is not heard."""
        node = self._executors[path]
        if not node.state.is_final:
            self._settle(node, outcome)
        return self._decide()

    def cancelled(self) -> Decision:
        """Nothing more is to start. What runs still has to report its end."""
        self._cancelled = True
        return self._decide()

    def _decide(self) -> Decision:
        while self._queue:
            step, node = self._queue.popleft()
            step(node)
        decision = Decision(tuple(self._changed), tuple(self._ready))
        self._changed, self._ready = {}, []
        return decision

    def _change(self, node: Node, state: State) -> None:
        node.state = state
        self._changed[node] = None

    def _settle(self, node: Node, outcome: Outcome, *, is_cause: bool = True) -> None:
        self._change(node, outcome.state)
        node.outputs, node.failure = outcome.outputs, outcome.failure
        if outcome.state is State.FAILED:
            self._failed = True
            if is_cause:
                self._blame(node)
        self._queue.append((self._notify, node))

    def _blame(self, node: Node) -> None:
        """Tells every group around a task that failed; the first failure in a group is its reason."""
        node.failed = 1
        node.first = self._places.get(node.path, math.inf)
        group = node.parent
        while group is not None:
            group.failed += 1
            if group.failure is None or node.first < group.first:
                group.failure, group.first = node.failure, node.first
            group = group.parent

    def _stops(self, node: Node) -> bool:
        if self._cancelled:
            return True
        fails_fast = self._run.failure_policy == "FAIL_FAST" and self._failed
        return fails_fast and not node.exempt and node.path not in self._begun

    def _notify(self, node: Node) -> None:
        parent = node.parent
        if parent is None:
            return
        parent.open -= 1
        if parent.kind is Kind.ITERATOR:
            self._advance(parent)
            return
        dag = parent.component.dag
        for key in dag.dependents[node.key] if dag else ():
            dependent = parent.children[key]
            dependent.waiting -= 1
            if not dependent.waiting:
                self._queue.append((self._trigger, dependent))
        if not parent.open:
            self._close(parent)

    def _open_dag(self, node: Node) -> None:
        self._change(node, State.RUNNING)
        dag = node.component.dag
        tasks = dag.tasks.values() if dag else ()
        for task in tasks:
            path = f"{node.path}/{task.key}" if node.path else task.key
            component = self._spec.components[task.component]
            kind = Kind.ITERATOR if task.iterator else _kind(component)
            exempt = node.exempt or task.is_exit_task
            child = Node(path, task.key, kind, component, task, node, exempt, waiting=len(task.dependencies))
            node.children[task.key] = child
            if not child.waiting:
                self._queue.append((self._trigger, child))
        node.open = len(node.children)
        if not node.open:
            self._close(node)

    def _trigger(self, node: Node) -> None:
        task, parent = node.task, node.parent
        if task is None or parent is None:
            raise AssertionError("only tasks of a DAG are triggered")
        recorded = self._recorded.get(node.path)
        upstream = (parent.children[key] for key in task.dependencies)
        blocked = not task.runs_after_failure and not all(producer.state.is_success for producer in upstream)
        skipped = recorded is not None and recorded.state is State.NOT_TRIGGERED
        if blocked or skipped or self._stops(node):
            self._settle(node, Outcome(State.NOT_TRIGGERED))
            return
        try:
            node.inputs = resolve(
                task, node.component, parent.inputs, parent.children, self.names(node), self._dialect
            )
            if task.condition and not self._holds(task.condition, node.inputs):
                self._settle(node, Outcome(State.NOT_TRIGGERED))
                return
        except (InputError, ExpressionError) as error:
            self._settle(node, failed(f"task {node.path!r} could not start: {error}"))
            return
        self._enter(node)

    def _holds(self, condition: str, inputs: Inputs) -> bool:
        artifacts = {name: [item.runtime() for item in items] for name, items in inputs.artifacts.items()}
        return holds(condition, {**inputs.defaults, **inputs.parameters}, artifacts)

    def _enter(self, node: Node) -> None:
        if node.kind is Kind.ITERATOR:
            self._open_iterator(node)
        elif node.kind is Kind.DAG:
            self._open_dag(node)
        else:
            self._offer(node)

    def _offer(self, node: Node) -> None:
        self._executors[node.path] = node
        recorded = self._recorded.get(node.path)
        if len(self._executors) > MAX_TASKS:
            message = f"task {node.path!r}: a pipeline job on Vertex AI has at most {MAX_TASKS:,} tasks"
            self._settle(node, failed(message))
        elif recorded is not None:
            self._settle(node, recorded)
        else:
            self._make_ready(node)

    def _make_ready(self, node: Node) -> None:
        executor = self.executor(node)
        if isinstance(executor, Container):
            try:
                node.resources, node.inputs = configured(
                    node.component, executor, node.inputs, self.names(node), self._dialect
                )
            except InputError as error:
                self._settle(node, failed(f"task {node.path!r} could not start: {error}"))
                return
        self._change(node, State.PENDING)
        self._ready.append(node)

    def _open_iterator(self, node: Node) -> None:
        self._change(node, State.RUNNING)
        try:
            iterator = node.task.iterator if node.task else None
            node.items = items_of(iterator, node.inputs) if iterator else ()
        except InputError as error:
            self._settle(node, failed(f"task {node.path!r} could not start: {error}"))
            return
        if len(node.items) > MAX_TASKS:
            message = f"task {node.path!r} has {len(node.items):,} iterations"
            self._settle(
                node, failed(f"{message}: a pipeline job on Vertex AI has at most {MAX_TASKS:,} tasks")
            )
            return
        self._advance(node)

    def _advance(self, node: Node) -> None:
        limit = node.task.iterator.limit if node.task and node.task.iterator else 0
        while len(node.children) < len(node.items) and (not limit or node.open < limit):
            index = len(node.children)
            path = f"{node.path}[{index}]"
            child = Node(path, node.key, _kind(node.component), node.component, node.task, node, node.exempt)
            if self._stops(child):
                break
            node.children[str(index)] = child
            node.open += 1
            self._iterate(child, node, node.items[index])
        if not node.open:
            self._close(node)

    def _iterate(self, child: Node, node: Node, item: Any) -> None:
        name = node.task.iterator.item_input if node.task and node.task.iterator else ""
        try:
            if isinstance(item, Artifact):
                child.inputs = with_artifact(node.inputs, name, item)
            else:
                child.inputs = with_item(node.component, node.inputs, name, item)
        except InputError as error:
            self._settle(child, failed(f"task {child.path!r} could not start: {error}"))
            return
        self._enter(child)

    def _close(self, node: Node) -> None:
        states = {child.state for child in node.children.values()}
        begun = len(node.children) >= len(node.items)
        outputs, problem = self._outputs(node)
        if self._cancelled and (not begun or states & {State.CANCELLED, State.NOT_TRIGGERED}):
            self._settle(
                node, Outcome(State.CANCELLED, outputs, Failure("the run was cancelled", CANCELLED_CODE))
            )
        elif State.FAILED in states or not begun:
            failure = node.failure or Failure(f"task {node.path!r} was not finished: the run failed before")
            if node.failed > 1:
                others = "1 other task" if node.failed == 2 else f"{node.failed - 1:,} other tasks"
                failure = Failure(f"{failure.message} (and {others} failed after it)", failure.code)
            self._settle(node, Outcome(State.FAILED, outputs, failure), is_cause=False)
        elif problem:
            where = f"task {node.path!r}" if node.path else "the pipeline"
            self._settle(node, Outcome(State.FAILED, outputs, Failure(f"{where}: {problem}")))
        else:
            self._settle(node, Outcome(State.SUCCEEDED, outputs))

    def _outputs(self, node: Node) -> tuple[Outputs, str]:
        if node.kind is Kind.ITERATOR:
            return iterator_outputs(node.component, list(node.children.values())), ""
        try:
            return dag_outputs(node.component, node.children), ""
        except OutputError as error:
            return error.outputs, str(error)


def _kind(component: Component) -> Kind:
    return Kind.EXECUTOR if component.dag is None else Kind.DAG
