import pytest
from google.api_core.exceptions import InvalidArgument

from trainwright.local.services.filters import compile_filter, fields_of, ordered, page, required_calls

JOB = {
    "name": "projects/1/locations/l/pipelineJobs/churn-1",
    "display_name": "churn",
    "state": "PIPELINE_STATE_FAILED",
    "create_time": "2026-11-23T10:00:00Z",
    "labels": {"team": "growth", "empty": ""},
    "job_detail": {"tasks": 3},
    "aliases": ["default", "best"],
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ('display_name="churn"', True),
        ("display_name=churn", True),
        ("displayName = 'churn'", True),
        ('display_name="chu*"', True),
        ('display_name!="churn"', False),
        ('state="PIPELINE_STATE_FAILED" AND display_name="churn"', True),
        ('state="PIPELINE_STATE_FAILED" display_name="other"', False),
        ("state=A OR state=PIPELINE_STATE_FAILED", True),
        ("NOT state=PIPELINE_STATE_FAILED", False),
        ("-display_name=other", True),
        ("(display_name=other OR labels.team=growth) AND state:*", True),
        ("labels.team:*", True),
        ("labels.absent:*", False),
        ("labels:team", True),
        ("aliases:best", True),
        ('create_time>"2026-11-01T00:00:00Z"', True),
        ("create_time > 2026-11-23T10:00:00Z", False),
        ('create_time = "2026-11-23T12:00:00+02:00"', True),
        ('create_time < "2026-11-23T10:00:00.5Z"', True),
        ("job_detail.tasks >= 3", True),
        ("job_detail.tasks < 3", False),
        ("churn", True),
    ],
)
def test_filters(text, expected):
    assert compile_filter(text)(JOB) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('begins("churn-")', False),
        ('begins("churn")', True),
        ("begins(chu) AND state:*", True),
        ('(state=A OR begins("c")) AND NOT begins("x")', True),
        ('display_name="begins(" begins("c")', False),
    ],
)
def test_functions(text, expected):
    functions = {"begins": lambda start: lambda job: job["display_name"].startswith(start)}
    assert compile_filter(text, functions)(JOB) is expected


@pytest.mark.parametrize("text", ['within("x")', "begins()", 'begins("a", "b")'])
def test_a_function_that_is_not_there_is_refused(text):
    with pytest.raises(InvalidArgument, match=r'functions here: begins\("…"\)'):
        compile_filter(text, {"begins": lambda start: lambda job: True})(JOB)


def test_what_a_filter_needs_is_known_before_it_runs():
    text = '(uri="x" OR metadata.a.number_value>3) AND in_context("a/b") AND -in_context("c")'
    assert fields_of(text) == {"uri", "metadata"}
    assert required_calls(text, "in_context") == ["a/b"]
    assert required_calls('in_context("a") OR uri="x"', "in_context") == []


@pytest.mark.parametrize("text", ["display_name=", "= x", "(a=b", "a=b)", 'a="b'])
def test_what_is_no_filter_is_refused(text):
    with pytest.raises(InvalidArgument, match="AIP-160"):
        compile_filter(text)


def test_order_and_pages():
    items = [{"name": str(number), "create_time": f"2026-01-0{number}"} for number in (1, 3, 2)]
    assert [item["name"] for item in ordered(items, "", dict)] == ["3", "2", "1"]
    assert [item["name"] for item in ordered(items, "create_time", dict)] == ["1", "2", "3"]
    first, token = page(items, 2, "", "q")
    second, end = page(items, 2, token, "q")
    assert (len(first), len(second), end) == (2, 1, "")
    for wrong in ("nonsense", token):
        with pytest.raises(InvalidArgument, match="page_token"):
            page(items, 2, wrong, "another question")
