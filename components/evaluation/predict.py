"""Predictions of a tabular model."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Model, Output

from trainwright.authoring.images import DUCKDB, PYARROW, PYTHON_IMAGE, XGBOOST

# ruff: noqa: S608 - the SQL is the model's own transform


@dsl.component(base_image=PYTHON_IMAGE, packages_to_install=[DUCKDB, PYARROW, XGBOOST])
def predict_tabular(
    model: Input[Model],
    dataset: Input[Dataset],
    predictions: Output[Dataset],
    batch_rows: int = 500_000,
) -> None:
    """Applies a model of `train_xgboost_tabular` to raw rows: its own feature transform, then its trees.

    Args:
        model: Directory with model.ubj, model.json and transform.json.
        dataset: Rows as they were before `prepare_features`, Parquet, one file or a folder; label not needed.
        predictions: The same rows in the same order, with two more columns: `prediction_score`, the
            probability of the positive class, and `prediction_label`, the class that is at least as probable
            as the other. Metadata: as of every Dataset, and `label`, `classes` (negative, positive),
            `positive_class`, `score_column`.
        batch_rows: Rows that are held in memory at a time, 1 or more.

    Raises:
        FileNotFoundError: A file of the model is missing.
        ValueError: The rows lack a column of the transform, have a column of the names that are added, or
            there are none.
    """
    import glob
    import json
    from pathlib import Path

    import duckdb
    import numpy
    import pyarrow
    import pyarrow.dataset
    import pyarrow.parquet
    import xgboost

    folder = Path(model.path)
    described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    transform = json.loads((folder / "transform.json").read_text(encoding="utf-8"))
    booster = xgboost.Booster(model_file=folder / "model.ubj")
    names = [column["name"] for column in transform["columns"]]
    expressions = [column["expression"] for column in transform["columns"]]
    select = ", ".join(f"{expression} AS feature_{number}" for number, expression in enumerate(expressions))
    classes = pyarrow.array(described["classes"])

    source = pyarrow.dataset.dataset(dataset.path, format="parquet")
    if taken := {"prediction_score", "prediction_label"} & set(source.schema.names):
        raise ValueError(f"dataset has a column {sorted(taken)[0]!r} already: these are not raw rows")
    target = Path(predictions.path) / "part-00000.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    schema = source.schema.append(pyarrow.field("prediction_score", pyarrow.float64()))
    schema = schema.append(pyarrow.field("prediction_label", classes.type)).remove_metadata()
    connection = duckdb.connect()
    rows = 0
    with pyarrow.parquet.ParquetWriter(target, schema) as writer:
        for batch in source.to_batches(batch_size=batch_rows):
            if not batch.num_rows:
                continue
            connection.register("raw", pyarrow.Table.from_batches([batch]))
            try:
                columns = connection.execute(f"SELECT {select} FROM raw").fetchnumpy()
            except duckdb.Error as error:
                reason = str(error).splitlines()[0]
                raise ValueError(f"dataset does not fit the model's transform: {reason}") from None
            floats = (column.astype(numpy.float32) for column in columns.values())
            features = numpy.column_stack([numpy.ma.filled(values, numpy.nan) for values in floats])
            scores = booster.predict(xgboost.DMatrix(features, feature_names=names)).astype(numpy.float64)
            added = [pyarrow.array(scores), classes.take(pyarrow.array((scores >= 0.5).astype(numpy.int8)))]
            writer.write_batch(pyarrow.record_batch([*batch.columns, *added], schema=schema))
            rows += batch.num_rows
    if not rows:
        raise ValueError("dataset has no rows")
    written = connection.read_parquet(glob.escape(str(target)), hive_partitioning=False)
    kinds = dict(zip(written.columns, map(str, written.types), strict=True))
    predictions.metadata.update(rows=rows, columns=list(kinds), schema=kinds, format="parquet")
    about = {"label": transform["label"], "classes": described["classes"]}
    about |= {"positive_class": described["classes"][1], "score_column": "prediction_score"}
    predictions.metadata.update(about)
