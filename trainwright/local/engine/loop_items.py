"""Loop items that the compiler of kfp loses on their way through nested groups.

A task within an If, an exit handler or a second ParallelFor that uses an item, or a field of one
(`item.name`), gets it through the inputs of every group between. The compiler (kfp 2.17.0) hands some of them
through groups that do not declare them, or out of DAGs around the loop that do not have them
(kubeflow/pipelines#12390 and #13273, both open). What is meant is never in doubt: the names say it.
"""

import dataclasses
from typing import Any

from trainwright.local.engine.spec import Component, ComponentInput, ParameterInput, Task

_LOOP_ITEM = "loop-item"
_FIELD = "-subvar-"


def is_loop_item(name: str) -> bool:
    """Whether an input is named as the compiler names a loop's item, or a field of it."""
    return _LOOP_ITEM in name


def mended(component: Component) -> Component:
    """The component, with fields of loop items taken from the inputs that it has for them.

    An inner group is told to take the field out of the item, which its own group was not given: but the field
    was, under the same name.
    """
    if component.dag is None:
        return component
    tasks = {key: _mended(task, component) for key, task in component.dag.tasks.items()}
    return dataclasses.replace(component, dag=dataclasses.replace(component.dag, tasks=tasks))


def _mended(task: Task, owner: Component) -> Task:
    had = owner.input_parameters
    lost = {
        name: ParameterInput(ComponentInput(name))
        for name, given in task.parameters.items()
        if isinstance(given.source, ComponentInput)
        and given.source.name not in had
        and name in had
        and is_loop_item(given.source.name)
    }
    return dataclasses.replace(task, parameters={**task.parameters, **lost}) if lost else task


def fields_of(component: Component, item_input: str, item: Any) -> dict[str, Any]:
    """The fields of an iteration's item that the loop's component declares as inputs of their own.

    Args:
        component: What is iterated.
        item_input: Its input that the item goes to.
        item: The item.
    """
    if not isinstance(item, dict):
        return {}
    declared = {name: name.removeprefix(f"{item_input}{_FIELD}") for name in component.input_parameters}
    return {name: item[field] for name, field in declared.items() if field != name and field in item}
