"""Loop items that the compiler of kfp loses on their way through nested groups.

A task within an If, an exit handler or a second ParallelFor that uses an item, or a field of one
(`item.key`), gets it through the inputs of every group between. The compiler (kfp 2.17.0) hands some of them
through groups that do not declare them, leaves some out, or takes them out of DAGs around the loop that do
not have them (kubeflow/pipelines#12390 and #13273, both open). What is meant is never in doubt: the names say
it.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from trainwright.local.engine.spec import (
    Component,
    ComponentInput,
    ParameterDefinition,
    ParameterInput,
    Task,
)

_LOOP_ITEM = "loop-item"
_FIELD = "-subvar-"


def is_loop_item(name: str) -> bool:
    """Whether an input is named as the compiler names a loop's item, or a field of it."""
    return _LOOP_ITEM in name


def mended(root: Component, components: Mapping[str, Component]) -> dict[str, Component]:
    """The components, with the items and fields that inner groups and tasks refer to handed through to them.

    What no loop around a task has is left as it is, for the checks to find.

    Args:
        root: The root.
        components: The others, by name.
    """
    mending = _Mending(root, components)
    for name, component in components.items():
        for key, task in component.dag.tasks.items() if component.dag else ():
            for parameter, given in task.parameters.items():
                source = given.source
                if not isinstance(source, ComponentInput) or not is_loop_item(source.name):
                    continue
                had = mending.components[name].input_parameters
                if source.name not in had and parameter in had:
                    # The field is to be taken out of the item, which the group was not given: the field was.
                    mending.give(name, key, parameter)
                else:
                    mending.supply(name, source.name)
    return mending.components


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


class _Mending:
    """The components as they are mended."""

    def __init__(self, root: Component, components: Mapping[str, Component]) -> None:
        self.components = dict(components)
        self._users: dict[str, list[tuple[str, Task]]] = {}
        for owner in (root, *components.values()):
            for task in owner.dag.tasks.values() if owner.dag else ():
                known = owner.name if owner is not root else ""
                self._users.setdefault(task.component, []).append((known, task))

    def give(self, name: str, key: str, parameter: str) -> None:
        """Makes a task take a parameter from the input of that name of its group."""
        component = self.components[name]
        if component.dag is None:
            return
        task = component.dag.tasks[key]
        given = {**task.parameters, parameter: ParameterInput(ComponentInput(parameter))}
        tasks = {**component.dag.tasks, key: dataclasses.replace(task, parameters=given)}
        dag = dataclasses.replace(component.dag, tasks=tasks)
        self.components[name] = dataclasses.replace(component, dag=dag)

    def supply(self, name: str, item: str, above: frozenset[str] = frozenset()) -> ParameterDefinition | None:
        """Sees to it that a group has an item of a loop around it; gives its definition, if one has it."""
        component = self.components.get(name)
        if component is None or name in above:
            return None
        if item in component.input_parameters:
            return component.input_parameters[item]
        definition: ParameterDefinition | None = None
        users = self._users.get(name, [])
        for owner, task in users:
            if task.iterator and task.iterator.item_input == item.partition(_FIELD)[0] != item:
                definition = ParameterDefinition("STRING")  # as the compiler declares fields
                continue
            definition = self.supply(owner, item, above | {name})
            if definition is None:
                return None
        if definition is not None:
            inputs = {**component.input_parameters, item: definition}
            self.components[name] = dataclasses.replace(component, input_parameters=inputs)
            for owner, task in users:
                if not task.iterator or task.iterator.item_input != item.partition(_FIELD)[0]:
                    self.give(owner, task.key, item)
        return definition
