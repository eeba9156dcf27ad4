"""Finds the pipelines and components there are to compile."""

import ast
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from trainwright.errors import UserError

if TYPE_CHECKING:
    from kfp.dsl.base_component import BaseComponent


@dataclass(frozen=True)
class Source:
    """Something to compile: where its YAML goes, relative to `compiled/`, and what KFP compiles."""

    name: str
    target: Path
    component: "BaseComponent"


def pipeline_names() -> list[str]:
    """The names of this library's pipelines: the modules of `trainwright.pipelines`."""
    import trainwright.pipelines

    return sorted(
        module.name for module in pkgutil.iter_modules(trainwright.pipelines.__path__) if not module.ispkg
    )


def load_pipeline(name: str) -> Source:
    """Loads one of this library's pipelines.

    Args:
        name: A module of `trainwright.pipelines`.

    Raises:
        UserError: The module has no `@dsl.pipeline` function of its own name.
    """
    from kfp.dsl.graph_component import GraphComponent

    module = importlib.import_module(f"trainwright.pipelines.{name}")
    pipeline = getattr(module, name, None)
    if not isinstance(pipeline, GraphComponent):
        raise UserError(
            f"{module.__file__}: no @dsl.pipeline function {name!r} in it, expected one named as its module"
        )
    return Source(name, Path("pipelines") / f"{name}.yaml", pipeline)


def load_components() -> list[Source]:
    """Loads every component that a module of `trainwright.components` defines, in order of stage and name.

    The stage is the folder that the module lies in. What a module imports, or names with a leading
    underscore, is not among them.
    """
    import trainwright.components

    sources: list[Source] = []
    for module in _modules(trainwright.components):
        stage = Path(*module.__name__.removeprefix("trainwright.components.").split(".")[:-1])
        sources += [
            Source(name, Path("components") / stage / f"{name}.yaml", component)
            for name, component in _defined_components(module)
        ]
    return sorted(sources, key=lambda source: source.target)


def load_file(path: Path) -> list[Source]:
    """Loads the pipelines of a user's own Python file.

    Args:
        path: A module with one or more `@dsl.pipeline` functions.

    Raises:
        UserError: The file is absent, cannot be imported, or defines no pipeline.
    """
    from kfp.dsl.graph_component import GraphComponent

    if not path.is_file():
        raise UserError(f"{path}: no such file")
    specification = importlib.util.spec_from_file_location(f"_user_{path.stem}", path)
    if specification is None or specification.loader is None:
        raise UserError(f"{path}: not a Python file (.py)")
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    sys.path.insert(
        0, str(path.parent.resolve())
    )  # so that it can import what lies beside it, as when it is run
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        first = (str(error).strip() or "no message").splitlines()[0]
        raise UserError(f"{path}: cannot be imported: {type(error).__name__}: {first}") from error
    finally:
        sys.path.pop(0)
    pipelines = [pair for pair in _defined_components(module) if isinstance(pair[1], GraphComponent)]
    if not pipelines:
        raise UserError(f"{path}: no @dsl.pipeline function in it")
    return [Source(name, Path("pipelines") / f"{name}.yaml", pipeline) for name, pipeline in pipelines]


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    for module in pkgutil.walk_packages(package.__path__, prefix=f"{package.__name__}."):
        if not module.ispkg:
            yield importlib.import_module(module.name)


def _defined_components(module: ModuleType) -> Iterator[tuple[str, "BaseComponent"]]:
    """What a module defines itself: not every object of KFP knows its module, but the source does."""
    from kfp.dsl.base_component import BaseComponent

    if module.__file__ is None:
        return
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    for node in tree.body:
        names: list[str] = []
        if isinstance(node, ast.FunctionDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        for name in names:
            component = getattr(module, name, None)
            if not name.startswith("_") and isinstance(component, BaseComponent):
                yield name, component
