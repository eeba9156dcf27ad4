from pathlib import Path

import pytest

from trainwright.errors import UserError
from trainwright.settings import find_environment, find_local, read_environments, state_folder

PROD = """
[environments.prod]
project = "acme-ml"
location = "europe-west4"
bucket = "acme-ml-pipelines"
service_account = "pipelines@acme-ml.iam.gserviceaccount.com"
labels = { team = "churn" }
failure_policy = "fast"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "trainwright.toml").write_text(PROD)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    return below


def test_an_environment_is_found_in_the_nearest_file_above(folder: Path) -> None:
    prod = find_environment("prod", folder=folder)
    assert (prod.project, prod.location, prod.failure_policy) == ("acme-ml", "europe-west4", "fast")
    assert prod.pipeline_root == "gs://acme-ml-pipelines/pipeline_root"
    assert (prod.enable_caching, prod.network, prod.is_local) == (None, None, False)


def test_local_needs_no_entry(tmp_path: Path) -> None:
    local = find_environment("local", folder=tmp_path)
    assert (local.project, local.bucket, local.is_local) == ("trainwright-local", "trainwright-local", True)


def test_local_may_have_one(tmp_path: Path) -> None:
    path = tmp_path / "trainwright.toml"
    path.write_text('[environments.local]\nlabels = { who = "me" }\n')
    local = read_environments(path)["local"]
    assert (local.labels, local.project) == ({"who": "me"}, "trainwright-local")


def test_images_that_local_vertex_does_not_know_can_be_mapped(tmp_path: Path) -> None:
    assert find_local(folder=tmp_path).images == {}
    (tmp_path / "trainwright.toml").write_text('[local]\nimages = { "ghcr.io/acme/tool:1" = "host" }\n')
    assert find_local(folder=tmp_path).images == {"ghcr.io/acme/tool:1": "host"}


def test_spot_jobs_can_be_preempted_every_so_often(tmp_path: Path) -> None:
    assert find_local(folder=tmp_path).preempt_every is None
    (tmp_path / "trainwright.toml").write_text("[local]\npreempt_every = 60\n")
    assert find_local(folder=tmp_path).preempt_every == 60


def test_an_unknown_environment_names_the_nearest(folder: Path) -> None:
    with pytest.raises(
        UserError, match=r"--env prd: unknown environment \(.*trainwright.toml\), nearest is 'prod'"
    ):
        find_environment("prd", folder=folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PROD + 'projct = "x"', "environments.prod.projct: unknown key, nearest is 'project'"),
        (PROD + 'name = "x"', "environments.prod.name: unknown key"),
        ("[environment.prod]", "unknown key 'environment', nearest is 'environments'"),
        ('[environments.prod]\nproject = "p"', "environments.prod: missing location, bucket"),
        (PROD.replace('"acme-ml"', "12"), "environments.prod.project: found 12, should be a valid string"),
        (PROD + 'enable_caching = "true"', "enable_caching: found 'true', should be a valid boolean"),
        (PROD.replace('"fast"', '"quick"'), "failure_policy: found 'quick', should be 'slow' or 'fast'"),
        (PROD.replace('"europe-west4"', '"Europe"'), "location: found 'Europe'"),
        (PROD.replace('"acme-ml-pipelines"', '"gs://x"'), "bucket: found 'gs://x'"),
        ('environments = "x"', "environments is a string"),
        ("[environments", "not TOML: "),
        ("[locl]", "unknown key 'locl', nearest is 'local'"),
        ('[local]\nsmtp = { host = "h" }', "local: missing smtp.sender"),
        ('[local]\nsmtp = { hst = "h", sender = "a@b" }', "local.smtp.hst: unknown key, nearest is 'host'"),
        ('[local]\nimage = { a = "host" }', "local.image: unknown key, nearest is 'images'"),
        (
            '[local]\nimages = { a = "docker" }',
            "local.images.a: found 'docker', should be 'python'",
        ),
        ("[local]\npreempt_every = 0", "local.preempt_every: found 0, should be greater than 0"),
        ("local = 1", "local is an integer"),
    ],
)
def test_a_mistake_is_one_line_with_the_file_and_the_key(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "trainwright.toml"
    path.write_text(text)
    with pytest.raises(UserError) as raised:
        read_environments(path)
    assert str(raised.value).startswith(str(path))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_state_folder_is_what_the_variable_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRAINWRIGHT_STATE", raising=False)
    assert state_folder() == tmp_path / ".trainwright"
    monkeypatch.setenv("TRAINWRIGHT_STATE", str(tmp_path / "other"))
    assert state_folder() == tmp_path / "other"
