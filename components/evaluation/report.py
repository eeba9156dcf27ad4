"""An evaluation to look at."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Output

from trainwright.authoring.images import MATPLOTLIB, PYTHON_IMAGE


@dsl.component(base_image=PYTHON_IMAGE, packages_to_install=[MATPLOTLIB])
def report_classification(
    evaluation: Input[Artifact],
    report: Output[HTML],
    title: str = "Evaluation on the test rows",
) -> None:
    """Draws an evaluation as one HTML file that needs nothing else: no network, no script, the same bytes.

    Args:
        evaluation: JSON of `evaluate_classification`.
        report: Metrics of all rows and per slice, ROC, precision-recall and calibration curves, confusion
            matrix.
        title: Heading of the report.
    """
    import io
    import json
    from html import escape
    from pathlib import Path

    import matplotlib
    from matplotlib.figure import Figure

    # A fixed salt for the ids inside the SVG, and text as text: the same bytes for the same evaluation.
    drawn = {"svg.hashsalt": "trainwright", "svg.fonttype": "none", "savefig.transparent": True}
    drawn |= {"figure.figsize": (3.6, 3.2), "figure.constrained_layout.use": True, "font.size": 9}
    drawn |= {"axes.spines.right": False, "axes.spines.top": False, "text.parse_math": False}
    matplotlib.rcParams.update(drawn)
    found = json.loads(Path(evaluation.path).read_text(encoding="utf-8"))
    confusion = found["confusionMatrix"]
    positives = sum(confusion["rows"][1]) / found["rows"]
    areas = "ROC, area {auRoc:.4f}", "Precision-recall, area {auPrc:.4f}"
    of_roc, of_recall = (area.format(**found["metrics"]) for area in areas)
    charts: dict[str, Figure] = {}
    for name, caption, x, y, reference, style in [
        ("roc", of_roc, "false positive rate", "true positive rate", [0, 1], "-"),
        ("precisionRecall", of_recall, "recall", "precision", [positives, positives], "-"),
        ("calibration", "Calibration", "mean score", "share of positives", [0, 1], "o-"),
    ]:
        charts[caption] = Figure()
        axes = charts[caption].subplots()
        across, up, *_ = zip(*found[name], strict=True)
        axes.plot([0, 1], reference, color="#8a8f98", linestyle=":", linewidth=1)
        axes.plot(across, up, style, color="#2458b3", linewidth=1.8, markersize=4)
        axes.set(xlabel=x, ylabel=y, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    charts[f"Confusion matrix at {confusion['threshold']:g}"] = figure = Figure()
    matrix = figure.subplots()
    matrix.set(xlabel="predicted", ylabel="true")
    shares = [[count / max(sum(row), 1) for count in row] for row in confusion["rows"]]
    matrix.imshow(shares, cmap="Blues", vmin=0, vmax=1.2)
    for row, column in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        text = f"{confusion['rows'][row][column]:,}\n{shares[row][column]:.0%}"
        color = "white" if shares[row][column] > 0.6 else "black"
        matrix.text(column, row, text, ha="center", va="center", color=color)
    matrix.set_xticks([0, 1], confusion["categories"])
    matrix.set_yticks([0, 1], confusion["categories"], rotation=90, va="center")
    figures = ""
    for caption, figure in charts.items():
        svg = io.StringIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        drawing = svg.getvalue()
        figures += f"<figure><figcaption>{caption}</figcaption>{drawing[drawing.index('<svg') :]}</figure>"

    names = ["auRoc", "auPrc", "logLoss", "brier", "accuracy", "precision", "recall", "f1Score"]
    table = "<tr>" + "".join(f"<th>{name}</th>" for name in ["slice", "", "rows", *names]) + "</tr>"
    for part in [{**found, "column": "all rows", "value": ""}, *found["slices"]]:
        cells = [escape(part["column"]), escape(part["value"]), f"{part['rows']:,}"]
        cells += [f"{part['metrics'][name]:.4f}" if name in part["metrics"] else "-" for name in names]
        table += "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
    about = f"{found['rows']:,} rows, {positives:.1%} of them {found['label']} = {confusion['categories'][1]}"
    style = """
        body { font: 15px/1.5 system-ui, sans-serif; color: #1d2330; max-width: 62em; margin: 2em auto }
        h1 { font-size: 1.5em; margin: 0 } p { color: #5b6270; margin-top: 0 } figcaption { font-weight: 600 }
        main { display: grid; grid-template-columns: repeat(auto-fit, minmax(22em, 1fr)); gap: 1.5em }
        figure { margin: 0 } svg { width: 100%; height: auto }
        table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9em; width: 100% }
        th, td { padding: .3em .5em; text-align: right; border-bottom: 1px solid #e3e6eb }
        td:nth-child(-n+2), th:first-child { text-align: left }
    """
    report.uri += ".html"  # a browser and Cloud Storage tell the type by it
    Path(report.path).write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{style}</style><h1>{escape(title)}</h1><p>{escape(about)}</p>"
        f"<main>{figures}</main><table>{table}</table></html>\n",
        encoding="utf-8",
    )
