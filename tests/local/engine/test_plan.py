"""Properties of the scheduling core, over generated pipelines and orders of events."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.local.engine.outcomes import Failure, Inputs, Outcome, Outputs, State
from trainwright.local.engine.plan import MAX_TASKS, Kind, Plan
from trainwright.local.engine.reading import read

from .conftest import make_run

OUTPUT = {"parameters": {"out": {"parameterType": "STRING"}}}


def pipeline(tasks: dict[str, dict], **components: dict) -> dict:
    leaf = {"executorLabel": "exec", "outputDefinitions": OUTPUT}
    leaf["inputDefinitions"] = {"parameters": {"item": {"parameterType": "STRING", "isOptional": True}}}
    return {
        "pipelineInfo": {"name": "generated"},
        "schemaVersion": "2.1.0",
        "deploymentSpec": {"executors": {"exec": {"container": {"image": "alpine", "command": ["true"]}}}},
        "components": {"leaf": leaf, **components},
        "root": {"dag": {"tasks": tasks}},
    }


def task(*after: str, component: str = "leaf", **more: object) -> dict:
    return {"componentRef": {"name": component}, "dependentTasks": list(after), **more}


def loop(count: int, limit: int = 0) -> dict:
    items = json.dumps([str(number) for number in range(count)])
    return {
        "parameterIterator": {"itemInput": "item", "items": {"raw": items}},
        "iteratorPolicy": {"parallelismLimit": limit},
    }


@st.composite
def pipelines(draw: st.DrawFn) -> dict:
    tasks: dict[str, dict] = {}
    components: dict[str, dict] = {}
    for number in range(draw(st.integers(1, 7))):
        after = draw(st.lists(st.sampled_from(sorted(tasks)), unique=True)) if tasks else []
        more: dict[str, object] = {}
        if draw(st.integers(0, 3)) == 0:
            more |= loop(draw(st.integers(0, 4)), draw(st.integers(0, 2)))
        if draw(st.integers(0, 3)) == 0:
            more["triggerPolicy"] = {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
        elif draw(st.integers(0, 3)) == 0:
            more["triggerPolicy"] = {"condition": draw(st.sampled_from(["1 == 1.0", "1 == 2", "inputs.x"]))}
        component = "leaf"
        if draw(st.integers(0, 3)) == 0:
            component = f"group-{number}"
            inner = {
                f"inner-{i}": task(*[f"inner-{j}" for j in range(i)][-1:])
                for i in range(draw(st.integers(0, 3)))
            }
            components[component] = {
                "dag": {"tasks": inner},
                "inputDefinitions": {"parameters": {"item": {"parameterType": "STRING", "isOptional": True}}},
            }
        tasks[f"task-{number}"] = task(*after, component=component, **more)
    return pipeline(tasks, **components)


OUTCOMES = [
    Outcome(State.SUCCEEDED, Outputs({"out": "x"})),
    Outcome(State.SKIPPED, Outputs({"out": "x"})),
    Outcome(State.FAILED, failure=Failure("it failed")),
]


def outcome_of(path: str, choice: int) -> Outcome:
    outcome = OUTCOMES[choice % len(OUTCOMES)]
    return Outcome(State.FAILED, failure=Failure(f"{path} failed")) if outcome.failure else outcome


class Simulation:
    """Drives a plan with choices out of a list of numbers, and notes what it sees."""

    def __init__(
        self, spec: dict, choices: list[int], policy: str = "FAIL_SLOW", recorded=None, begun=frozenset()
    ) -> None:
        self.run = make_run(spec, failure_policy=policy)
        self.plan = Plan(read(spec), self.run, Inputs(), recorded, begun)
        self.choices = choices
        self.offered: list[str] = []
        self.running: dict[str, None] = {}
        self.ended: dict[str, State] = {}
        self.trace: list[tuple[str, str]] = []
        self.outcomes: dict[str, Outcome] = {}
        self.failures: list[str] = []

    def take(self, decision) -> None:
        for node in decision.changed:
            self.trace.append((node.path, node.state.value))
            if node.state.is_final:
                assert node.path not in self.ended, "a task ends once"
                self.ended[node.path] = node.state
                if (
                    node.state is State.FAILED
                    and not node.children
                    and "not finished" not in str(node.failure)
                ):
                    self.failures.append(node.failure.message)
        for node in decision.ready:
            assert node.path not in self.offered, "a task is offered once"
            self.offered.append(node.path)
            self.check_inputs(node)
            self.running[node.path] = None
        self.check_limits()

    def check_inputs(self, node) -> None:
        while node.parent is not None:
            if node.parent.kind is Kind.DAG:
                for key in node.task.dependencies:
                    state = node.parent.children[key].state
                    assert state.is_final, "no task before its inputs"
                    assert state.is_success or node.task.runs_after_failure
            node = node.parent

    def check_limits(self) -> None:
        waiting = [self.plan.root]
        while waiting:
            node = waiting.pop()
            waiting += node.children.values()
            limit = node.task.iterator.limit if node.kind is Kind.ITERATOR else 0
            open_now = sum(not child.state.is_final for child in node.children.values())
            assert not limit or open_now <= limit

    def play(self, steps: int = 10_000, cancel_at: int = -1) -> "Simulation":
        self.take(self.plan.begin())
        for step in range(steps):
            if step == cancel_at:
                self.take(self.plan.cancelled())
            if not self.running:
                break
            choice = self.choices[step % len(self.choices)]
            path = list(self.running)[choice % len(self.running)]
            del self.running[path]
            self.outcomes[path] = outcome_of(path, choice)
            self.take(self.plan.started(path))
            self.take(self.plan.finished(path, self.outcomes[path]))
            self.take(self.plan.finished(path, OUTCOMES[0]))  # heard only once
        return self


CHOICES = st.lists(st.integers(0, 11), min_size=1, max_size=20)
POLICIES = st.sampled_from(["FAIL_SLOW", "FAIL_FAST"])


@settings(max_examples=150, deadline=None)
@given(pipelines(), CHOICES, POLICIES)
def test_every_task_ends_once_after_its_inputs_and_within_limits(spec, choices, policy):
    simulation = Simulation(spec, choices, policy).play()
    assert simulation.plan.root.state.is_final
    assert set(spec["root"]["dag"]["tasks"]) <= set(simulation.ended)
    failed = any(state is State.FAILED for path, state in simulation.ended.items() if path)
    assert simulation.plan.root.state is (State.FAILED if failed else State.SUCCEEDED)
    assert Simulation(spec, choices, policy).play().trace == simulation.trace, (
        "the same events, the same decisions"
    )
    every = [simulation.plan.root]
    for node in every:
        every += node.children.values()
        assert node.state.is_final, "every task ends"
        assert node.path in simulation.ended
    assert len(simulation.offered) == len(set(simulation.offered)) == len(simulation.outcomes)


@settings(max_examples=150, deadline=None)
@given(pipelines(), CHOICES, POLICIES)
def test_the_first_failure_is_every_groups_reason(spec, choices, policy):
    simulation = Simulation(spec, choices, policy).play()
    root = simulation.plan.root
    if not simulation.failures:
        assert root.failure is None
        return
    others = len(simulation.failures) - 1
    count = {0: "", 1: " (and 1 other task failed after it)"}.get(
        others, f" (and {others} other tasks failed after it)"
    )
    assert root.failure.message == simulation.failures[0] + count
    # A run that was killed once all had ended says the same when it goes on, in whatever order it looks.
    recorded = {
        path: simulation.outcomes.get(path, Outcome(state)) for path, state in simulation.ended.items()
    }
    again = Simulation(spec, [0], policy, recorded, set(simulation.ended)).play()
    assert sorted(again.failures) == sorted(simulation.failures)
    assert again.plan.root.failure == root.failure


@settings(max_examples=100, deadline=None)
@given(pipelines(), CHOICES, st.integers(0, 6), POLICIES)
def test_a_run_that_is_continued_offers_what_had_not_ended_and_ends_alike(spec, choices, steps, policy):
    first = Simulation(spec, choices, policy).play(steps)
    settled = {path: Outcome(state) for path, state in first.ended.items() if state is State.NOT_TRIGGERED}
    second = Simulation(spec, [0], policy, settled | first.outcomes, {path for path, _ in first.trace})
    second.play()
    assert not set(second.offered) & set(first.outcomes), "what had ended is not run again"
    assert set(first.running) <= set(second.offered), "what was running runs again"
    assert second.plan.root.state.is_final
    if not first.running:
        assert second.plan.root.state is first.plan.root.state


@settings(max_examples=100, deadline=None)
@given(pipelines(), CHOICES, st.integers(0, 5))
def test_nothing_starts_after_a_cancellation(spec, choices, cancel_at):
    simulation = Simulation(spec, choices)
    simulation.take(simulation.plan.begin())
    for step in range(cancel_at):
        if simulation.running:
            path = next(iter(simulation.running))
            del simulation.running[path]
            simulation.take(simulation.plan.finished(path, OUTCOMES[choices[step % len(choices)] % 3]))
    offered = len(simulation.offered)
    simulation.take(simulation.plan.cancelled())
    for path in list(simulation.running):
        simulation.take(simulation.plan.finished(path, Outcome(State.CANCELLED)))
        assert simulation.plan.is_cancelled
    assert len(simulation.offered) == offered
    assert simulation.plan.root.state.is_final
    assert not any(State.RUNNING is node.state for node in simulation.plan.root.children.values())


def test_fail_fast_starts_nothing_after_a_failure_but_exit_tasks():
    tasks = {
        "bad": task(),
        "slow": task(),
        "after-slow": task("slow"),
        "exit-handler-1": task(component="group", dependentTasks=[]),
        "clean-up": task("exit-handler-1", triggerPolicy={"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}),
        "ignoring": task("bad", triggerPolicy={"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}),
    }
    spec = pipeline(tasks, group={"dag": {"tasks": {"inner": task()}}})
    for policy, expected in (("FAIL_FAST", State.NOT_TRIGGERED), ("FAIL_SLOW", State.SUCCEEDED)):
        simulation = Simulation(spec, [0], policy)
        simulation.take(simulation.plan.begin())
        simulation.take(simulation.plan.finished("bad", OUTCOMES[2]))
        for path in ("slow", "exit-handler-1/inner"):
            simulation.take(simulation.plan.finished(path, OUTCOMES[0]))
        for path in set(simulation.offered) - set(simulation.ended):
            simulation.take(simulation.plan.finished(path, OUTCOMES[0]))
        assert simulation.ended["after-slow"] is expected
        assert simulation.ended["ignoring"] is expected
        assert simulation.ended["clean-up"] is State.SUCCEEDED
        assert simulation.plan.root.state is State.FAILED
        assert simulation.plan.root.failure == Failure("it failed")


def test_a_failure_inside_a_group_comes_before_a_later_one_outside():
    tasks = {"group": task(component="group"), "later": task(), "last": task()}
    spec = pipeline(tasks, group={"dag": {"tasks": {"first": task(), "slow": task()}}})
    simulation = Simulation(spec, [0])
    simulation.take(simulation.plan.begin())
    for path in ("group/first", "later", "last"):
        simulation.take(simulation.plan.finished(path, outcome_of(path, 2)))
    simulation.take(simulation.plan.finished("group/slow", OUTCOMES[0]))
    assert simulation.plan.root.children["group"].failure == Failure("group/first failed")
    assert simulation.plan.root.failure == Failure("group/first failed (and 2 other tasks failed after it)")


def test_a_long_chain_after_a_failure_ends():
    tasks = {f"task-{number}": task(*[f"task-{number - 1}"] * (number > 0)) for number in range(5_000)}
    simulation = Simulation(pipeline(tasks), [2])
    simulation.take(simulation.plan.begin())
    simulation.take(simulation.plan.finished("task-0", OUTCOMES[2]))
    assert simulation.ended["task-4999"] is State.NOT_TRIGGERED
    assert simulation.plan.root.state is State.FAILED


@pytest.mark.parametrize("count", [MAX_TASKS, MAX_TASKS + 1])
def test_the_task_limit_of_vertex_is_named(count):
    spec = pipeline({"all": task(**loop(count // 2)), "more": task(**loop(count - count // 2))})
    plan = Plan(read(spec), make_run(spec), Inputs())
    ready = plan.begin().ready
    assert len(ready) == MAX_TASKS
    for node in ready:
        plan.finished(node.path, OUTCOMES[0])
    if count > MAX_TASKS:
        assert "at most 10,000 tasks" in plan.root.failure.message
    else:
        assert plan.root.state is State.SUCCEEDED
