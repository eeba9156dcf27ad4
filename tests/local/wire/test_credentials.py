"""Nobody comes in without a credential that this process issued, at any of the doors."""

import json
import stat
import time

import pytest
import requests
from google.auth import crypt, jwt

from trainwright.local.wire.credentials import CredentialRefused, GrantRefused, ServiceAccount


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    folder = tmp_path_factory.mktemp("account")
    account = ServiceAccount(folder / "key.json", project="p", token_uri="http://t/token", secret="s")
    return account, json.loads((folder / "key.json").read_text())


def _signed(key, claims, issued=0, lifetime=3600):
    now = int(time.time()) + issued
    payload = {"iss": key["client_email"], "iat": now, "exp": now + lifetime, **claims}
    return jwt.encode(crypt.RSASigner.from_service_account_info(key), payload).decode()


def test_a_jwt_by_the_key_is_let_in_and_its_variants_are_not(account, tmp_path):
    ours, key = account
    ServiceAccount(tmp_path / "other.json", project="p", token_uri="http://t/token", secret="s")
    other_key = json.loads((tmp_path / "other.json").read_text())
    good = _signed(key, {"aud": "https://aiplatform.googleapis.com/"})
    ours.check(f"Bearer {good}")
    header, claims, signature = good.split(".")
    refused = {
        "no bearer token": [None, "", "Basic abc", good, "Bearer"],
        "not signed by": [f"Bearer {_signed(other_key, {})}", f"Bearer {header}.{claims}.{signature[:-8]}"],
        "expired": [f"Bearer {_signed(key, {}, issued=-7200)}"],
        "more than an hour": [
            f"Bearer {_signed(key, {}, lifetime=90000)}",
            f"Bearer {_signed(key, {}, issued=900)}",
        ],
        "issuer": [f"Bearer {_signed(key, {'iss': 'else'})}"],
        "no JWT": ["Bearer a.b.c", "Bearer ..", "Bearer e30.W10.e30"],
        "RS256": [f"Bearer eyJhbGciOiJub25lIn0.{claims}."],
        "not one that": [
            "Bearer abc",
            "Bearer trainwright.99999999999.00",
            "Bearer trainwright.é.ü",
            "Bearer s",
        ],
    }
    for reason, values in refused.items():
        for value in values:
            with pytest.raises(CredentialRefused, match=reason):
                ours.check(value)


def test_an_assertion_is_traded_for_an_access_token_that_expires(account, monkeypatch):
    ours, key = account
    grant = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": _signed(key, {})}
    token = ours.grant(grant)["access_token"]
    ours.check(f"Bearer {token}")
    monkeypatch.setattr("time.time", lambda: 1e11)
    with pytest.raises(CredentialRefused, match="expired"):
        ours.check(f"Bearer {token}")
    monkeypatch.undo()
    with pytest.raises(GrantRefused, match="only"):
        ours.grant({"grant_type": "password"})
    with pytest.raises(GrantRefused, match="no JWT"):
        ours.grant(grant | {"assertion": "x"})
    with pytest.raises(GrantRefused, match="ID token"):
        ours.grant(grant | {"assertion": _signed(key, {"target_audience": "x"})})


def test_the_key_file_is_private_kept_over_restarts_and_replaced_when_damaged(tmp_path):
    path = tmp_path / "credentials" / "key.json"
    options = {"project": "p", "token_uri": "http://t/token", "secret": "s"}
    ServiceAccount(path, **options)
    first = json.loads(path.read_text())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    ServiceAccount(path, **options | {"token_uri": "http://u/token"})
    again = json.loads(path.read_text())
    assert (again["private_key"], again["token_uri"]) == (first["private_key"], "http://u/token")
    path.write_text("{")
    ServiceAccount(path, **options)
    assert json.loads(path.read_text())["private_key"] != first["private_key"]


def test_rest_storage_and_the_token_endpoint_refuse_strangers(vertex):
    environment = vertex.wire.environment()
    session = requests.Session()
    session.trust_env = False
    session.proxies = {"https": environment["https_proxy"]}
    session.verify = environment["SSL_CERT_FILE"]
    for url in (
        "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/customJobs",
        "https://storage.googleapis.com/storage/v1/b/bucket",
        "https://bigquery.googleapis.com/bigquery/v2/projects",
    ):
        for headers in ({}, {"Authorization": "Bearer no"}):
            answer = session.get(url, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["status"] == "UNAUTHENTICATED"
    base = environment["STORAGE_EMULATOR_HOST"].rpartition("/")[0]
    for path in (
        "/wrong-token/storage/v1/b",
        "/storage/v1/b",
        "/token-of-the-test",
        "/v1/projects/p/locations/l/models",
    ):
        assert session.get(base + path).status_code == 401
    assert session.post(f"{base}/token", data={"grant_type": "x"}).json()["error"] == "unsupported_grant_type"
    assert session.get(f"{base}/token-of-the-test/b", headers={"Host": "evil.example"}).status_code == 404


def test_storage_is_reached_by_bearer_token_or_by_the_path(client):
    lines = client(
        """
        import os, google.auth, requests
        from google.auth.transport.requests import AuthorizedSession
        session = AuthorizedSession(google.auth.default(scopes=["https://www.googleapis.com/auth/devstorage.read_write"])[0])
        show(session.get("https://storage.googleapis.com/storage/v1/b").text)
        show(session.get("https://www.googleapis.com/upload/storage/v1/b").text)
        show(requests.get(os.environ["STORAGE_EMULATOR_HOST"] + "/storage/v1/b").text)
        show(session.get("https://iamcredentials.googleapis.com/v1/x/allowedLocations").status_code)
        show(session.get("https://dataproc.googleapis.com/x").json()["error"]["message"])
        """
    )
    assert lines == [
        "https /storage/v1/b True",
        "https /upload/storage/v1/b True",
        "http /token-of-the-test/storage/v1/b False",
        "404",
        "dataproc.googleapis.com is not served by local Vertex AI",
    ]


def test_grpc_refuses_strangers_before_it_says_what_exists(client, tmp_path):
    options = {"project": "trainwright-local", "token_uri": "http://127.0.0.1:1/token", "secret": "s"}
    ServiceAccount(tmp_path / "stranger.json", **options)
    lines = client(
        """
        from google.api_core import exceptions
        from google.auth import credentials
        from google.cloud import aiplatform_v1 as v1
        options = {"api_endpoint": "us-central1-aiplatform.googleapis.com"}
        for client in (
            v1.JobServiceClient(client_options=options),
            v1.FeaturestoreServiceClient(client_options=options),
        ):
            call = getattr(client, "get_custom_job", None) or client.get_featurestore
            try:
                call(name="projects/p/locations/l/x/1", retry=None)
            except exceptions.GoogleAPICallError as error:
                show(type(error).__name__, error.message)
        """,
        GOOGLE_APPLICATION_CREDENTIALS=str(tmp_path / "stranger.json"),
    )
    assert (
        lines == ["Unauthenticated Request refused: the JWT is not signed by this local Vertex AI's key"] * 2
    )
