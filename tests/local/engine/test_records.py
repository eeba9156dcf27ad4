"""What a run's records say after its engine was killed, once and again."""

import importlib.util
from pathlib import Path

from kfp import dsl

from trainwright.local.engine.check import prepared
from trainwright.local.engine.plan import Plan
from trainwright.local.engine.records import Ledger
from trainwright.local.store import Store

_SPEC = importlib.util.spec_from_file_location("engine_support", Path(__file__).parent / "conftest.py")
support = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(support)


@dsl.container_component
def launch():
    return dsl.ContainerSpec(image="alpine", command=["true"])


@dsl.pipeline(name="launching")
def launching():
    launch().set_retry(2)


def test_a_task_that_is_interrupted_twice_goes_on_with_what_it_wrote(tmp_path: Path) -> None:
    run = support.make_run(support.compiled(launching))
    store = Store(tmp_path / "store.sqlite")

    def begin() -> tuple[Ledger, Plan]:
        ledger = Ledger(store, run, tmp_path)
        spec, inputs = prepared(run, lambda name: None)
        plan = Plan(spec, run, inputs, ledger.outcomes, ledger.begun)
        store.write_many(ledger.rows(plan.begin().changed, 1.0))
        return ledger, plan

    ledger, plan = begin()
    assert ledger.next_attempt("launch") == (1, False)
    ledger.started("launch", 1, 2.0)
    store.write_many(ledger.rows(plan.started("launch").changed, 2.0))
    for _ in range(2):  # the second time it is killed before the task has started again
        ledger, plan = begin()
        assert ledger.next_attempt("launch") == (1, True)
    ledger.failed("launch", 1)
    store.write_many(ledger.rows(plan.retried("launch").changed, 3.0))
    for _ in range(2):
        ledger, plan = begin()
        assert ledger.next_attempt("launch") == (2, False)
    store.close()
