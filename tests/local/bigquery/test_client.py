"""Google's own clients against a served local Vertex: google-cloud-bigquery, pandas, requests, a GCPC op."""


def test_the_library_finds_its_way(client):
    shown = client("""
        import datetime
        from google.api_core import exceptions
        from google.cloud import bigquery

        bq = bigquery.Client()
        bq.create_dataset("shop")
        kinds = bq.query_and_wait(
            "SELECT 1 AS i, 'é' AS s, [1, 2] AS a, STRUCT(DATE '2020-01-01' AS d) AS r, NUMERIC '1.5' AS n,"
            " TIMESTAMP '2020-01-01 00:00:00.5+00' AS t, b'ab' AS y, TIME '10:00:00' AS m, TRUE AS b,"
            " 1.5 AS f, DATETIME '2020-01-01 10:00:00' AS dt, CAST(NULL AS INT64) AS z, PARSE_JSON('{}') AS j"
        )
        (row,) = [dict(row) for row in kinds]
        shown.append([row[name] for name in "isazbf"] == [1, "é", [1, 2], None, True, 1.5])
        shown.append(row["r"] == {"d": datetime.date(2020, 1, 1)} and row["y"] == b"ab" and row["j"] == {})
        shown.append(row["t"] == datetime.datetime(2020, 1, 1, 0, 0, 0, 500000, tzinfo=datetime.timezone.utc))
        shown.append([field.field_type for field in kinds.schema])

        config = bigquery.QueryJobConfig(query_parameters=[
            bigquery.ScalarQueryParameter("n", "INT64", 3),
            bigquery.ArrayQueryParameter("l", "STRING", ["o'x"])])
        shown.append([list(row) for row in bq.query("SELECT @n + 1, @l", job_config=config).result()])

        pages = bq.query("SELECT x FROM UNNEST(GENERATE_ARRAY(1, 25)) AS x ORDER BY x").result(page_size=10)
        shown.append([len(list(page)) for page in pages.pages])

        dry = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False)
        bq.query("CREATE TABLE shop.t AS SELECT x, 'ab' AS s FROM UNNEST([1, 2]) AS x").result()
        shown.append(bq.query("SELECT x FROM shop.t", job_config=dry).total_bytes_processed)

        table = bq.get_table("shop.t")
        shown.append([table.num_rows, table.num_bytes, table.location])
        table.description, table.labels = "two rows", {"a": "b"}
        shown.append(bq.update_table(table, ["description", "labels"]).labels)
        shown.append(bq.insert_rows_json("shop.t", [{"x": 3, "s": "c"}]))
        shown.append(bq.insert_rows_json("shop.t", [{"y": 3}])[0]["errors"][0]["message"])
        rows = bq.list_rows("shop.t", start_index=1, selected_fields=table.schema[:1])
        shown.append([list(row) for row in rows])
        shown.append([each.table_id for each in bq.list_tables("shop")])

        for call in (
            lambda: bq.create_dataset("shop"), lambda: bq.get_table("shop.none"),
            lambda: bq.query("SELECT nope FROM shop.t").result(), lambda: bq.delete_dataset("shop"),
            lambda: bq.query("CREATE MODEL shop.m OPTIONS (model_type='x') AS SELECT 1").result(),
        ):
            try:
                call()
                shown.append("no error")
            except exceptions.GoogleAPICallError as error:
                shown.append([error.code, error.errors[0]["reason"]])
        bq.delete_dataset("shop", delete_contents=True)
    """)
    assert shown[:3] == [True, True, True]
    assert shown[3] == [
        "INTEGER", "STRING", "INTEGER", "RECORD", "NUMERIC", "TIMESTAMP", "BYTES", "TIME", "BOOLEAN", "FLOAT",
        "DATETIME", "INTEGER", "JSON",
    ]  # fmt: skip
    assert shown[4:13] == [
        [[4, ["o'x"]]],
        [10, 10, 5],
        2 * (8 + 4),
        [2, 2 * (8 + 4), "US"],
        {"a": "b"},
        [],
        "no such field: y.",
        [[2], [3]],
        ["t"],
    ]
    assert shown[13:] == [
        [409, "duplicate"],
        [404, "notFound"],
        [400, "invalidQuery"],
        [400, "resourceInUse"],
        [400, "invalidQuery"],
    ]


def test_frames_files_and_buckets_go_in_and_out(client):
    shown = client("""
        import io
        import pandas
        from google.cloud import bigquery, storage

        bq = bigquery.Client()
        bq.create_dataset("frames")
        frame = pandas.DataFrame({"i": [1, 2], "s": ["a", None], "f": [1.5, 2.5], "b": [True, False],
                                  "t": pandas.to_datetime(["2020-01-01", "2020-01-02"], utc=True)})
        bq.load_table_from_dataframe(frame, "frames.f").result()
        back = bq.query("SELECT * FROM frames.f ORDER BY i").to_dataframe()
        shown.append([back["i"].tolist(), back["f"].tolist(), back["b"].tolist(), back["s"].isna().tolist()])
        shown.append([str(each) for each in back["t"]])
        shown.append(bq.list_rows("frames.f").to_arrow().num_rows)

        config = bigquery.LoadJobConfig(source_format="CSV", autodetect=True, skip_leading_rows=1)
        big = io.BytesIO(b"k,v\\n" + b"a,1\\n" * 400_000)
        shown.append(bq.load_table_from_file(big, "frames.csv", job_config=config).result().output_rows)
        shown.append(bq.load_table_from_json([{"k": "b", "v": 2}], "frames.csv").result().output_rows)
        shown.append(bq.get_table("frames.csv").num_rows)

        config = bigquery.ExtractJobConfig(destination_format="PARQUET")
        uri = "gs://trainwright-local/out/f-*.parquet"
        job = bq.extract_table("frames.f", uri, job_config=config).result()
        shown.append(job.destination_uri_file_counts)
        shown.append([blob.name for blob in storage.Client().list_blobs("trainwright-local", prefix="out/")])
        config = bigquery.LoadJobConfig(source_format="PARQUET")
        uri = "gs://trainwright-local/out/*.parquet"
        shown.append(bq.load_table_from_uri(uri, "frames.g", job_config=config).result().output_rows)
        bq.copy_table("frames.g", "frames.h").result()
        shown.append(bq.get_table("frames.h").num_rows)
    """)
    assert shown == [
        [[1, 2], [1.5, 2.5], [True, False], [False, True]],
        ["2020-01-01 00:00:00+00:00", "2020-01-02 00:00:00+00:00"],
        2,
        400_000,
        1,
        400_001,
        [1],
        ["out/f-000000000000.parquet"],
        2,
        2,
    ]


def test_who_has_no_token_is_refused(client):
    shown = client("""
        import requests

        for host in ("bigquery.googleapis.com", "www.googleapis.com"):
            url = f"https://{host}/bigquery/v2/projects/trainwright-local/datasets"
            for headers in ({}, {"Authorization": "Bearer other"}):
                shown.append(requests.get(url, headers=headers).status_code)
    """)
    assert shown == [401] * 4


def test_ops_of_google_run_from_a_compiled_pipeline(client):
    """The second one trains a model: the run is refused, since BigQuery ML has no counterpart here."""
    shown = client("""
        import tempfile
        from google.api_core.exceptions import InvalidArgument
        from google.cloud import aiplatform, bigquery
        from google_cloud_pipeline_components.v1.bigquery import BigqueryCreateModelJobOp, BigqueryQueryJobOp
        from kfp import compiler, dsl

        @dsl.pipeline(name="prepare")
        def prepare(project: str):
            query = "CREATE TABLE ops.t AS SELECT x FROM UNNEST([1, 2]) AS x"
            BigqueryQueryJobOp(project=project, location="US", query=query)

        @dsl.pipeline(name="model")
        def model(project: str):
            query = "CREATE MODEL ops.m OPTIONS (model_type='linear_reg') AS SELECT x, x AS label FROM ops.t"
            BigqueryCreateModelJobOp(project=project, location="US", query=query)

        bigquery.Client().create_dataset("ops")
        jobs = []
        for pipeline in (prepare, model):
            with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
                compiler.Compiler().compile(pipeline, file.name)
                jobs.append(aiplatform.PipelineJob(
                    display_name="prepare", template_path=file.name, enable_caching=False,
                    pipeline_root="gs://trainwright-local/root",
                    parameter_values={"project": "trainwright-local"}))
        jobs[0].run()
        tasks = {task.task_name: task for task in jobs[0].task_details}
        (table,) = tasks["bigquery-query-job"].outputs["destination_table"].artifacts
        shown.append("{projectId}.{datasetId}.{tableId}".format(**table.metadata))
        try:
            jobs[1].submit()
        except InvalidArgument as error:
            shown.append(error.message)
        try:
            query = "CREATE MODEL ops.m OPTIONS (model_type='linear_reg') AS SELECT 1 AS x"
            bigquery.Client().query_and_wait(query)
        except Exception as error:
            shown.append(str(error))
    """)
    assert shown[0] == "trainwright-local.ops.t"
    assert "bigquery-create-model-job cannot run here: BigQuery ML has no local counterpart" in shown[1]
    assert "CREATE MODEL is BigQuery ML, which local BigQuery does not have" in shown[2]
