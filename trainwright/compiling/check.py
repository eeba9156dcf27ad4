"""Checks every pipeline in every environment, before anything is submitted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from trainwright.authoring.compute import locations
from trainwright.authoring.labels import label_problem
from trainwright.compiling.cost import estimate
from trainwright.compiling.lint.check import UNREADABLE, check_opt_outs, lint_document, without_allowed
from trainwright.compiling.lint.document import Document, read_document
from trainwright.compiling.parameters import check_settings, missing_parameters
from trainwright.compiling.spec import CompiledPipeline, interface
from trainwright.errors import UserError
from trainwright.nearest import nearest
from trainwright.settings import Allow, Environment


@dataclass(frozen=True)
class Cell:
    """What is known of a pipeline in an environment.

    Attributes:
        pipeline: The pipeline's file name without its ending.
        environment: The environment's name.
        reasons: Why it must not be submitted like that; empty if it may.
        needs: Required parameters that the environment gives no value: `--param` must.
        warnings: How many warnings the lint has.
        usd: What a run costs by the estimate; None where it cannot be estimated.
        unknown: Tasks whose price is not known, so that a run costs more than that.
    """

    pipeline: str
    environment: str
    reasons: tuple[str, ...]
    needs: tuple[str, ...]
    warnings: int
    usd: float | None
    unknown: tuple[str, ...] = ()


def check(
    paths: Sequence[Path],
    environments: Mapping[str, Environment],
    allow: Sequence[Allow] = (),
    *,
    today: date | None = None,
) -> list[Cell]:
    """Checks pipelines in environments.

    Args:
        paths: Files of compiled pipelines.
        environments: By name.
        allow: The settings' opt-outs of the lint.
        today: The day on which ends of availability count; today unless given.

    Returns:
        A cell for each pipeline and environment, pipeline by pipeline.

    Raises:
        UserError: An opt-out names no rule.
    """
    check_opt_outs(allow)
    cells: list[Cell] = []
    for path in paths:
        try:
            document = read_document(path)
        except UserError as error:
            cells += [Cell(path.stem, name, (str(error),), (), 0, None) for name in environments]
            continue
        pipeline = CompiledPipeline(
            path, document.spec, interface(document.spec), document.documents, given=document.given
        )
        cells += [
            _cell(document, pipeline, environment, allow, today) for environment in environments.values()
        ]
    return cells


def stray_settings(environments: Mapping[str, Environment], known: Iterable[str]) -> list[str]:
    """Finds settings of pipelines that there are not, and of environments that cannot be, one line each."""
    names = set(known)
    mistakes: list[str] = []
    for environment in environments.values():
        for table in ("parameters", "hours"):
            where = f"environments.{environment.name}.{table}"
            mistakes += [
                f"{where}.{name}: no pipeline of that name, {nearest(name, names)}"
                for name in getattr(environment, table)
                if name not in names
            ]
        if environment.location not in locations():
            hint = nearest(environment.location, locations())
            mistakes.append(
                f"environments.{environment.name}.location: {environment.location!r} is no region, {hint}"
            )
        for key, value in environment.labels.items():
            problem = label_problem(key, value)
            if problem is not None:
                mistakes.append(f"environments.{environment.name}.labels: {problem}")
    return mistakes


def _cell(
    document: Document,
    pipeline: CompiledPipeline,
    environment: Environment,
    allow: Sequence[Allow],
    today: date | None,
) -> Cell:
    name = document.path.stem
    settings = environment.parameters.get(name, {})
    values, reasons = check_settings(pipeline, settings, environment.parameters_name(name))
    found = lint_document(
        document,
        parameters=values,
        location=environment.location,
        project=environment.project,
        today=today,
    )
    kept = without_allowed(found, allow)
    errors = [finding for finding in kept if finding.severity == "error"]
    reasons += [
        f"{document.path}:{finding.line}: {finding.rule}: "
        + (f"task {finding.task}: {finding.message}" if finding.task else finding.message)
        for finding in errors
    ]
    if any(finding.rule == UNREADABLE.id for finding in errors):
        return Cell(name, environment.name, tuple(reasons), (), 0, None)
    usd: float | None = None
    unknown: tuple[str, ...] = ()
    try:
        hours = environment.hours.get(name)
        cost = estimate(document.spec, location=environment.location, parameters=values, hours=hours)
        usd, unknown = cost.usd, tuple(dict.fromkeys(line.task for line in cost.unknown))
    except UserError as error:
        reasons.append(f"environments.{environment.name}.hours.{name}: {error}")
    if usd is not None and environment.max_cost is not None and usd > environment.max_cost:
        most = f"max_cost {environment.max_cost:g} of environments.{environment.name}"
        reasons.append(f"a run costs about {usd:.2f} USD, above {most} (`trainwright cost` shows why)")
    needs = tuple(missing_parameters(pipeline, settings))
    warnings = len(kept) - len(errors)
    return Cell(name, environment.name, tuple(reasons), needs, warnings, usd, unknown)
