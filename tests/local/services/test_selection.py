"""A list that the store answers from its summaries is the list that a look at every resource gives."""

import json
from types import SimpleNamespace

import pytest
from google.cloud import aiplatform_v1 as v1
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.local.services.jobs import Jobs
from trainwright.local.services.names import Project
from trainwright.local.services.operations import Operations
from trainwright.local.services.resources import Resources, timestamp
from trainwright.local.services.selection import selection
from trainwright.local.store import Store

PARENT = "projects/1/locations/l"
PREFIX = f"{PARENT}/customJobs/"
NAMES = ("churn", "churn-[1]", "credit?", "Churn", "2026-01-02", "")
LABELS = ({}, {"team": "growth"}, {"team": "growth", "stage": ""}, {"team": "", "stage": "prod"})
STATES = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "")
ATOMS = (
    "display_name=churn",
    'displayName="churn*"',
    'display_name!="churn-[1]"',
    'display_name:"*[1*"',
    'display_name="credit?"',
    "display_name:*",
    "state=JOB_STATE_FAILED",
    'state!="JOB_STATE_QUEUED"',
    "labels.team=growth",
    "labels.team!=growth",
    "labels.team:*",
    "labels:stage",
    "labels:*",
    'labels.stage="pr*"',
    'create_time>"2026-01-01T00:00:02Z"',
    'create_time<="2026-01-01T02:00:02.5+02:00"',
    'end_time!="2026-01-01T00:00:10Z"',
    "end_time:*",
    "start_time < 2026-01-01T00:00:10Z",
)
ORDERS = ("", "create_time", "display_name desc, create_time", "end_time desc", "state, update_time desc")
BEGIN = 1767225600  # 2026-01-01


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """By summaries and one by one. Two thirds are written before the store knows that they are summarized."""
    store = Store(tmp_path_factory.mktemp("selection") / "store.sqlite")
    project = Project("p", "1")
    made = None
    for number in range(36):
        if number == 24:
            made = Jobs(
                store=store,
                operations=Operations(store, project),
                project=project,
                message_type=v1.CustomJob,
                first_state=v1.JobState.JOB_STATE_QUEUED,
            )
        created = BEGIN + (number * 7 % 5) + (0.5 if number % 2 else 0)
        job = v1.CustomJob(
            name=f"{PREFIX}{number}",
            display_name=NAMES[number % len(NAMES)],
            labels=LABELS[number % len(LABELS)],
            create_time=timestamp(created),
            update_time=timestamp(created),
        )
        store.create(job.name, "customJob", v1.CustomJob.serialize(job))
        if state := STATES[number % len(STATES)]:
            run = {"state": state, "startTime": created + 1.1, "endTime": BEGIN + 10 if number % 4 else None}
            store.write(f"{job.name}/run", "run", json.dumps(run).encode())
    yield made, Resources(store, "customJob", v1.CustomJob, made.presented)
    store.close()


def names(found):
    return [job.name for job in found[0]], found[1]


def atoms(children):
    pairs = st.tuples(children, st.sampled_from(("AND", "OR")), children)
    return pairs.map(lambda pair: f"({pair[0]} {pair[1]} {pair[2]})") | children.map(
        lambda one: f"NOT ({one})"
    )


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(st.sampled_from(ATOMS), atoms, max_leaves=4),
    st.sampled_from(ORDERS),
    st.integers(0, 9),
)
def test_summaries_answer_as_the_resources_would(jobs, text, order_by, page_size):
    by_summaries, one_by_one = jobs
    request = SimpleNamespace(
        parent=PARENT, filter=text, order_by=order_by, page_size=page_size, page_token=""
    )
    while True:
        expected = one_by_one.page(one_by_one.all(PREFIX), request)
        assert names(by_summaries.page(request)) == names(expected)
        if not expected[1]:
            break
        request.page_token = expected[1]


def test_what_summaries_do_not_hold_is_left_to_the_resources():
    assert selection("job_spec.service_account=x", "") is None
    assert selection("churn", "") is None
    assert selection("", "labels.team") is None
    assert all(selection(atom, order) for atom in ATOMS if "pr*" not in atom for order in ORDERS)
