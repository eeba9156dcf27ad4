"""The trials of a hyperparameter tuning to look at, and what mattered in them."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Output

from trainwright.authoring.images import MATPLOTLIB, PYARROW, PYTHON_IMAGE, SCIKIT_LEARN


@dsl.component(base_image=PYTHON_IMAGE, packages_to_install=[PYARROW, SCIKIT_LEARN])
def hyperparameter_importance(trials: Input[Dataset]) -> dict:
    """Says how much each hyperparameter matters for the metric, as far as the trials tell.

    A random forest learns the metric from the hyperparameters; the importance of one is how much worse it
    does when that one is shuffled (permutation importance: Breiman, "Random Forests", 2001). It describes
    these trials alone: a few of them say little.

    Args:
        trials: Of `tuning_results`.

    Returns:
        Shares by name that add up to 1, the greatest first; all 0 where the forest has learned nothing.
    """
    import numpy
    import pyarrow.parquet
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    rows = [row for row in pyarrow.parquet.read_table(trials.path).to_pylist() if row["value"] is not None]
    columns = [name for name in trials.metadata["columns"] if name.startswith("params_")]
    codes = []
    for column in columns:
        # A tree sees nothing but the order; -1 where a trial has no such parameter.
        known = sorted({row[column] for row in rows if row[column] is not None})
        place = {value: number for number, value in enumerate(known)}
        codes.append([place.get(row[column], -1) for row in rows])
    given, values = numpy.array(codes).T, numpy.array([row["value"] for row in rows])
    forest = RandomForestRegressor(200, random_state=0).fit(given, values)
    worse = permutation_importance(forest, given, values, n_repeats=20, random_state=0).importances_mean
    worse = numpy.clip(worse, 0, None)
    shares = zip(columns, worse / (worse.sum() or 1), strict=True)
    by_share = sorted(shares, key=lambda pair: -pair[1])
    return {name.removeprefix("params_"): float(share) for name, share in by_share}


@dsl.component(base_image=PYTHON_IMAGE, packages_to_install=[MATPLOTLIB, PYARROW])
def report_tuning(
    trials: Input[Dataset], importance: dict, report: Output[HTML], title: str = "Tuning"
) -> None:
    """Draws the trials as one HTML file that needs nothing else: no network, no script, the same bytes.

    Args:
        trials: Of `tuning_results`.
        importance: Of `hyperparameter_importance`.
        report: The best hyperparameters; the metric trial by trial and as learning curves; each trial as a
            line through its hyperparameters (parallel coordinates); their importance; a table, best first.
        title: Heading of the report.
    """
    import io
    import math
    from html import escape
    from pathlib import Path

    import matplotlib
    import pyarrow.parquet
    from matplotlib.figure import Figure

    # A fixed salt for the ids inside the SVG, and text as text: the same bytes for the same trials.
    drawn = {"svg.hashsalt": "trainwright", "svg.fonttype": "none", "savefig.transparent": True}
    drawn |= {"figure.figsize": (4.2, 3), "figure.constrained_layout.use": True, "font.size": 9}
    drawn |= {"axes.spines.right": False, "axes.spines.top": False, "text.parse_math": False}
    matplotlib.rcParams.update(drawn)
    about, rows = trials.metadata, pyarrow.parquet.read_table(trials.path).to_pylist()
    columns = [name for name in about["columns"] if name.startswith("params_")]
    metric, better = about["metric"], min if about["goal"] == "MINIMIZE" else max
    ranked = sorted((row for row in rows if row["value"] is not None), key=lambda row: row["value"])
    ranked = ranked[:: 1 if better is min else -1]
    best, worst = ranked[0], ranked[-1]
    colors = matplotlib.colormaps["viridis"]
    pens = [(row, colors(0.92 * at / len(ranked))) for at, row in enumerate(ranked)][::-1]  # the best on top

    charts: dict[str, Figure] = {"Trial by trial": Figure(), "Learning curves": Figure()}
    axes = charts["Trial by trial"].subplots()
    so_far, reached = [], worst["value"]
    for row in sorted(ranked, key=lambda row: int(row["trial"])):
        reached = better(reached, row["value"])
        so_far.append((int(row["trial"]), reached))
    axes.step(*zip(*so_far, strict=True), where="post", color="#2458b3", linewidth=1.6)
    for row, color in pens:
        axes.plot(int(row["trial"]), row["value"], "o", color=color, markersize=5)
    axes.set(xlabel="trial (line: the best so far)", ylabel=metric)
    axes = charts["Learning curves"].subplots()
    for row, color in pens:
        points = [(at["step"], at["value"]) for at in row["measurements"] if at["value"] is not None]
        mark, width = "." if len(points) == 1 else "", 2.4 if row is best else 0.9
        axes.plot(*zip(*points, strict=True), color=color, linewidth=width, marker=mark) if points else None
    axes.set(xlabel="step", ylabel=metric)

    across = "Every trial, a line through its hyperparameters"
    charts[across] = Figure(figsize=(max(4.2, 1.25 * (len(columns) + 1)), 3.2))
    axes = charts[across].subplots()
    lines: dict[str, list[float]] = {row["trial"]: [] for row in ranked}
    for at, column in enumerate([*columns, "value"]):
        known = sorted({row[column] for row in ranked if row[column] is not None})
        place = {value: float(i if isinstance(value, str) else value) for i, value in enumerate(known)}
        if column in about["log_scaled"]:
            place = {value: math.log(value) for value in known}
        low = min(place.values(), default=0)
        span = (max(place.values(), default=0) - low) or 1
        for row in ranked:
            value = row[column]
            lines[row["trial"]].append(math.nan if value is None else (place[value] - low) / span)
        axes.axvline(at, color="#8a8f98", linewidth=0.8, zorder=0)
        for value in known if known and isinstance(known[0], str) else {*known[:1], *known[-1:]}:
            text, height = value if isinstance(value, str) else f"{value:.4g}", (place[value] - low) / span
            beside = (0, 5 if height > 0.5 else -11)
            axes.annotate(text, (at, height), beside, textcoords="offset points", fontsize=8, ha="center")
    for row, color in pens:
        axes.plot(lines[row["trial"]], ".-", color=color, linewidth=2.6 if row is best else 1)
    names = [column.removeprefix("params_") for column in columns]
    axes.set_xticks(range(len(names) + 1), [*names, metric])
    axes.set(yticks=[], xlim=(-0.5, len(names) + 0.5), ylim=(-0.1, 1.1))
    axes.spines[:].set_visible(False)

    weighed = "Importance of the hyperparameters"
    charts[weighed] = Figure(figsize=(4.2, 0.8 + 0.35 * len(importance)))
    axes = charts[weighed].subplots()
    axes.barh([*importance][::-1], [*importance.values()][::-1], color="#2458b3", height=0.6)
    axes.set(xlim=(0, 1), xlabel=f"share, from {len(ranked)} trials")

    figures = ""
    for caption, figure in charts.items():
        svg = io.StringIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        drawing, kind = svg.getvalue(), " class=wide" if caption == across else ""
        figures += f"<figure{kind}><figcaption>{caption}</figcaption><div>"
        figures += f"{drawing[drawing.index('<svg') :]}</div></figure>"

    def shown(value: object) -> str:
        return escape(f"{value:.5g}" if isinstance(value, float) else "-" if value is None else str(value))

    head = ["trial", metric, "step", *names, "seconds", ""]
    table = "<tr>" + "".join(f"<th>{escape(name)}</th>" for name in head) + "</tr>"
    for row in [*ranked, *(row for row in rows if row["value"] is None)]:
        ran = round((row["end"] - row["start"]).total_seconds(), 1) if row["start"] and row["end"] else None
        cells = [row["trial"], row["value"], row["step"], *(row[column] for column in columns), ran]
        cells.append("" if row["state"] == "SUCCEEDED" else f"{row['state'].lower()} {row['reason'][:200]}")
        table += "<tr>" + "".join(f"<td>{shown(cell)}</td>" for cell in cells) + "</tr>"
    pairs = zip(names, columns, strict=True)
    winner = "".join(f"<div><dt>{escape(name)}<dd>{shown(best[column])}</div>" for name, column in pairs)
    said = f"Best {metric} {best['value']:.6g}: trial {best['trial']} of {len(rows)}"
    said += f"; {len(rows) - len(ranked)} infeasible" if len(ranked) < len(rows) else ""
    style = """
        body { font: 15px/1.5 system-ui, sans-serif; color: #1d2330; background: #fff; max-width: 62em;
            margin: 2em auto; padding: 0 1em }
        h1 { font-size: 1.5em; margin: 0; overflow-wrap: anywhere } p { color: #5b6270; margin: 0 0 1em }
        dl { display: flex; flex-wrap: wrap; gap: .3em 1.6em; margin: 0 0 1.5em }
        dt, dd { display: inline; margin: 0 } dt { color: #5b6270 } dd { font-weight: 600; margin-left: .4em }
        main { display: grid; gap: 1.5em;
            grid-template-columns: repeat(auto-fit, minmax(min(22em, 100%), 1fr)) }
        figure { margin: 0; break-inside: avoid; min-width: 0 } figcaption { font-weight: 600 }
        .wide { grid-column: 1 / -1 } .wide div, .table { overflow-x: auto }
        svg { width: 100%; height: auto } .wide svg { min-width: 38em }
        table { border-collapse: collapse; font-size: .8em; font-variant-numeric: tabular-nums; width: 100% }
        th, td { padding: .3em .5em; text-align: right; border-bottom: 1px solid #e3e6eb }
        th:last-child, td:last-child { text-align: left } tr { break-inside: avoid }
        tr:nth-child(2) td { font-weight: 600 }
        @media print { .wide div, .table { overflow: visible } .wide svg { min-width: 0 }
            table { font-size: .6em } }
    """
    report.uri += ".html"  # a browser and Cloud Storage tell the type by it
    Path(report.path).write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style><h1>{escape(title)}</h1><p>{escape(said)}</p>"
        f'<dl>{winner}</dl><main>{figures}</main><div class="table"><table>{table}</table></div></html>\n',
        encoding="utf-8",
    )
