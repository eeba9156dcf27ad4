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
        report: Metrics, ROC, precision-recall and calibration curves, confusion matrix, metrics per slice.
        title: Heading of the report.
    """
    import html
    import io
    import json
    from collections.abc import Callable
    from pathlib import Path

    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    blue, grey = "#2458b3", "#8a8f98"
    # A fixed salt for the ids inside the SVG, and text as text: the same bytes for the same evaluation.
    matplotlib.rcParams.update({"svg.hashsalt": "trainwright", "svg.fonttype": "none", "font.size": 9})
    found = json.loads(Path(evaluation.path).read_text(encoding="utf-8"))
    values, confusion, positive = found["metrics"], found["confusionMatrix"], str(found["positive_class"])
    base_rate = sum(confusion["rows"][1]) / found["rows"]

    def chart(heading: str, x: str, y: str, draw: Callable[[Axes], None]) -> str:
        figure = Figure(figsize=(3.6, 3.2), layout="constrained")
        axes = figure.subplots()
        draw(axes)
        axes.set(xlabel=x, ylabel=y)
        axes.spines[["top", "right"]].set_visible(False)
        svg = io.StringIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
        drawing = svg.getvalue()
        return f"<figure><figcaption>{heading}</figcaption>{drawing[drawing.index('<svg') :]}</figure>"

    def curve(name: str, reference: list[float], style: str = "-") -> Callable[[Axes], None]:
        def draw(axes: Axes) -> None:
            axes.plot([0, 1], reference, color=grey, linestyle=":", linewidth=1)
            x, y, *_ = zip(*found[name], strict=True)
            axes.plot(x, y, style, color=blue, linewidth=1.8, markersize=4)
            axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))

        return draw

    def matrix(axes: Axes) -> None:
        shares = [[count / max(sum(row), 1) for count in row] for row in confusion["rows"]]
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.2)
        for row, column in [(0, 0), (0, 1), (1, 0), (1, 1)]:
            share = shares[row][column]
            text = f"{confusion['rows'][row][column]:,}\n{share:.0%}"
            axes.text(column, row, text, ha="center", va="center", color="white" if share > 0.6 else "black")
        axes.set_xticks([0, 1], confusion["categories"])
        axes.set_yticks([0, 1], confusion["categories"], rotation=90, va="center")

    def table(heads: list[str], rows: list[list[str]]) -> str:
        top = "".join(f"<th>{head}</th>" for head in heads)
        lines = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows)
        return f"<table><tr>{top}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"

    heading = f"Confusion matrix at {confusion['threshold']:g}"
    charts = [
        chart(
            f"ROC, area {values['auRoc']:.4f}",
            "false positive rate",
            "true positive rate",
            curve("roc", [0, 1]),
        ),
        chart(
            f"Precision-recall, area {values['auPrc']:.4f}",
            "recall",
            "precision",
            curve("precisionRecall", [base_rate, base_rate]),
        ),
        chart("Calibration", "mean score", "share of positives", curve("calibration", [0, 1], "o-")),
        chart(heading, "predicted", "true", matrix),
    ]
    names = ["auRoc", "auPrc", "logLoss", "brier", "accuracy", "precision", "recall", "f1Score"]
    numbers = [
        [f"{measured[name]:.4f}" if name in measured else "-" for name in names]
        for measured in [values, *(part["metrics"] for part in found["slices"])]
    ]
    slices = [
        [part["column"], part["value"], f"{part['rows']:,}", *row]
        for part, row in zip(found["slices"], numbers[1:], strict=True)
    ]
    per_slice = f"<h2>Slices</h2>{table(['column', 'value', 'rows', *names], slices)}" if slices else ""
    about = f"{found['rows']:,} rows, {base_rate:.1%} of them {found['label']} = {positive}"
    style = """
        body { font: 15px/1.5 system-ui, sans-serif; color: #1d2330; max-width: 62em; margin: 2em auto }
        h1 { font-size: 1.5em; margin-bottom: 0 } h2 { font-size: 1.1em; margin-top: 2em }
        p { color: #5b6270 }
        .charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(22em, 1fr)); gap: 1.5em }
        figure { margin: 0 } figcaption { font-weight: 600 } svg { width: 100%; height: auto }
        table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.9em }
        th, td { padding: 0.3em 0.8em; text-align: right; border-bottom: 1px solid #e3e6eb }
        .slices td:nth-child(-n+2), .slices th:nth-child(-n+2) { text-align: left }
    """
    report.uri += ".html"  # a browser and Cloud Storage tell the type by it
    Path(report.path).write_text(
        f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title><style>{style}</style></head>
<body><h1>{html.escape(title)}</h1><p>{html.escape(about)}</p>
{table(names, numbers[:1])}
<h2>Curves</h2><div class="charts">{"".join(charts)}</div>
<div class="slices">{per_slice}</div></body></html>
""",
        encoding="utf-8",
    )
