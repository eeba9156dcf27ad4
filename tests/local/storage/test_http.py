"""The protocol itself: tokens, hostile paths, resumable sessions, ranges, batches, error bodies."""

import asyncio
import json

import pytest
import requests

from trainwright.local.storage import storage_app

TOKEN = "token-of-the-test"


def put(cloud, name, content, **query):
    parameters = "".join(f"&{key}={value}" for key, value in query.items())
    url = f"{cloud.url}/upload/storage/v1/b/bucket/o?uploadType=media&name={name}{parameters}"
    return requests.post(url, content, timeout=10)


@pytest.mark.parametrize(
    "path",
    [
        "/storage/v1/b/bucket/o",
        "/wrong-token/storage/v1/b/bucket/o",
        f"/{TOKEN}x/storage/v1/b",
        "/",
        "/upload/storage/v1/b/bucket/o",
        f"/x/../{TOKEN}/storage/v1/b/bucket",
    ],
)
def test_no_token_no_answer(cloud, path):
    refused = cloud.request("GET", path)
    assert refused.status_code == 401
    assert refused.json()["error"]["errors"][0]["reason"] == "required"
    assert TOKEN not in refused.text


@pytest.mark.parametrize(
    "path",
    [
        "/storage/v1/b/bucket/o/..%2F..%2Fstorage.sqlite?alt=media",
        "/storage/v1/b/bucket/o/%2Fetc%2Fpasswd?alt=media",
        "/download/storage/v1/b/bucket/o/%2e%2e%2f%2e%2e%2fstorage.sqlite?alt=media",
        "/storage/v1/b/..%2Fbucket/o/x",
        "/storage/v1/b/../o/storage.sqlite?alt=media",
        "/storage/v1/b/.staging/o",
        "/storage/v1/b/bucket/o/../../../storage.sqlite",
        "/storage/v1/b/bucket/o/%00",
        "/storage/v1/b/bucket/o/%ff",
        "/storage/v1/b/bucket/o?prefix=../",
        "/storage/v1/b/bucket/o?prefix=/etc/",
    ],
)
def test_no_path_leads_out_of_the_bucket(cloud, path):
    answer = cloud.request("GET", f"/{TOKEN}{path}")
    assert answer.status_code in (400, 404, 501) or answer.json() == {"kind": "storage#objects"}
    assert b"SQLite" not in answer.content
    assert b"root:" not in answer.content


def test_no_upload_leads_out_of_the_bucket(cloud):
    for name in ("..%2Fescaped", "%2Ftmp%2Fescaped", "a%2F..%2F..%2Fescaped", "."):
        assert put(cloud, name, b"x").status_code == 400
    for path in (
        "/storage/v1/b/bucket/o/a/copyTo/b/..%2F/o/x",
        "/upload/storage/v1/b/..%2Fx/o?uploadType=media&name=x",
    ):
        assert cloud.request("POST", f"/{TOKEN}{path}", data=b"{}").status_code == 400
    session = cloud.request(
        "PUT", f"/{TOKEN}/upload/storage/v1/b/bucket/o?upload_id=..%2F..%2Fstorage.sqlite"
    )
    assert session.status_code == 404
    assert cloud.request("DELETE", f"/{TOKEN}/upload/storage/v1/b/bucket/o?upload_id=../x").status_code == 404
    assert not list(cloud.root.parent.glob("escaped*"))
    assert (cloud.root.parent / "storage.sqlite").exists()


def test_errors_have_googles_shape(cloud):
    missing = requests.get(f"{cloud.url}/storage/v1/b/bucket/o/none", timeout=10)
    assert missing.status_code == 404
    assert missing.json() == {
        "error": {
            "code": 404,
            "message": "No such object: bucket/none",
            "errors": [{"message": "No such object: bucket/none", "domain": "global", "reason": "notFound"}],
        }
    }
    put(cloud, "exists", b"x")
    failed = put(cloud, "exists", b"y", ifGenerationMatch=0)
    assert failed.status_code == 412
    assert failed.json()["error"]["errors"][0]["reason"] == "conditionNotMet"
    assert put(cloud, "exists", b"y", ifGenerationMatch="zero").status_code == 400
    assert requests.get(f"{cloud.url}/storage/v1/b", timeout=10).status_code == 400
    not_json = requests.patch(f"{cloud.url}/storage/v1/b/bucket/o/exists", b"[1", timeout=10)
    assert (not_json.status_code, not_json.json()["error"]["errors"][0]["reason"]) == (400, "invalid")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "b/bucket/o/x/compose", {"sourceObjects": {"name": "x"}}),
        ("POST", "b/bucket/o/x/compose", {"sourceObjects": ["x"]}),
        ("POST", "b/bucket/o/x/compose", {"sourceObjects": []}),
        ("POST", "b/bucket/o/x/compose", {"sourceObjects": [{"name": "x"}], "destination": 1}),
        ("POST", "b/bucket/o/x/compose", {"sourceObjects": [{"name": "x", "objectPreconditions": 1}]}),
        ("PATCH", "b/bucket/o/malformed", {"metadata": "text"}),
        ("PATCH", "b/bucket/o/malformed", {"metadata": {"number": 1}}),
        ("PATCH", "b/bucket/o/malformed", {"contentType": "text/plain\r\nx-injected: 1"}),
        ("PATCH", "b/bucket/o/malformed", {"contentType": 1}),
        ("POST", "b?project=p", {"name": "../x"}),
        ("POST", "b?project=p", {}),
        ("POST", "b?project=p", {"name": "labelled", "labels": {"a": 1}}),
        ("GET", "b/bucket/o?maxResults=-1", None),
        ("GET", "b/bucket/o?pageToken=%ff", None),
        ("GET", "b/bucket/o?matchGlob=[a", None),
    ],
)
def test_malformed_requests_are_400(cloud, method, path, body):
    put(cloud, "malformed", b"")
    answer = requests.request(method, f"{cloud.url}/storage/v1/{path}", json=body, timeout=10)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, 400)


def test_resumable_protocol(cloud):
    start = requests.post(
        f"{cloud.url}/upload/storage/v1/b/bucket/o?uploadType=resumable&name=resumed",
        json={"metadata": {"from": "session"}},
        headers={"x-upload-content-type": "text/plain", "x-upload-content-length": "10"},
        timeout=10,
    )
    assert start.status_code == 200
    session = start.headers["location"]
    assert session.startswith(f"{cloud.url}/upload/storage/v1/b/bucket/o?")

    def send(content=b"", content_range=None, method="PUT", **headers):
        if content_range:
            headers["content-range"] = f"bytes {content_range}"
        return requests.request(method, session, data=content, headers=headers, timeout=10)

    status = send(content_range="*/*")
    assert (status.status_code, status.headers.get("range")) == (308, None)
    assert send(b"0123", "0-3/*").headers["range"] == "bytes=0-3"
    assert send(content_range="*/10").headers["range"] == "bytes=0-3"
    assert send(b"23456", "2-6/*").headers["range"] == "bytes=0-6"  # what has arrived is not taken twice
    assert send(b"x", "9-9/10").status_code == 400
    assert send(b"x", "7-7/11").status_code == 400
    assert send(b"x", "seven").status_code == 400
    assert send(b"789", "7-9/10", method="POST").status_code == 200
    again = send(content_range="*/10")
    assert (again.status_code, again.json()["size"]) == (200, "10")
    assert (again.json()["contentType"], again.json()["metadata"]) == ("text/plain", {"from": "session"})
    assert (cloud.root / "bucket/resumed").read_bytes() == b"0123456789"


def test_a_lost_connection_keeps_what_has_arrived_and_cancel_removes_it(cloud):
    url = f"{cloud.url}/upload/storage/v1/b/bucket/o?uploadType=resumable&name=lost"
    session = requests.post(url, timeout=10).headers["location"]

    def breaks_off():
        yield b"x" * 3_000_000
        raise ConnectionResetError

    with pytest.raises(requests.ConnectionError), requests.Session() as broken:
        try:
            broken.put(
                session, breaks_off(), headers={"content-range": "bytes 0-9999999/10000000"}, timeout=10
            )
        except ConnectionResetError as reset:
            raise requests.ConnectionError from reset
    status = requests.put(session, headers={"content-range": "bytes */10000000"}, timeout=10)
    assert status.status_code == 308
    arrived = int(status.headers["range"].removeprefix("bytes=0-")) + 1
    assert 0 < arrived <= 3_000_000
    assert requests.delete(session, timeout=10).status_code == 499
    assert requests.put(session, headers={"content-range": "bytes */*"}, timeout=10).status_code == 404
    assert list((cloud.root / ".staging").iterdir()) == []
    assert not (cloud.root / "bucket/lost").exists()


def test_ranges_and_tags(cloud):
    put(cloud, "ranged", b"0123456789")
    url = f"{cloud.url}/download/storage/v1/b/bucket/o/ranged?alt=media"

    def get(**headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = requests.get(url, headers=named, timeout=10)
        return answer.status_code, answer.content, answer.headers.get("content-range")

    assert get(range="bytes=2-4") == (206, b"234", "bytes 2-4/10")
    assert get(range="bytes=8-") == (206, b"89", "bytes 8-9/10")
    assert get(range="bytes=-3") == (206, b"789", "bytes 7-9/10")
    assert get(range="bytes=5-999") == (206, b"56789", "bytes 5-9/10")
    assert get(range="bytes=4-2") == (200, b"0123456789", None)
    assert get(range="bytes=0-1,3-4") == (200, b"0123456789", None)
    assert get(range="bytes=10-")[0::2] == (416, "bytes */10")
    tag = requests.head(url, timeout=10).headers["etag"]
    assert get(range="bytes=0-0", if_range=tag)[0] == 206
    assert get(range="bytes=0-0", if_range=f'"{tag}x"')[0] == 200
    assert get(if_none_match=tag)[:2] == (304, b"")
    assert get(if_match="other")[0] == 412
    head = requests.head(url, timeout=10)
    assert (head.headers["content-length"], head.content) == ("10", b"")
    assert head.headers["x-goog-hash"] == "crc32c=KAwGng==,md5=eB5eJF1ptWaXm4bijSPyxw=="


def test_partial_answers(cloud):
    put(cloud, "partial/a", b"")
    url = f"{cloud.url}/storage/v1/b/bucket/o"
    assert requests.get(f"{url}/partial%2Fa?fields=name,size", timeout=10).json() == {
        "name": "partial/a",
        "size": "0",
    }
    listed = requests.get(f"{url}?prefix=partial/&fields=items(name),kind", timeout=10).json()
    assert listed == {"items": [{"name": "partial/a"}], "kind": "storage#objects"}
    listed = requests.get(f"{url}?prefix=partial/&fields=items/name", timeout=10).json()
    assert listed == {"items": [{"name": "partial/a"}]}
    assert requests.get(f"{url}?fields=items(name", timeout=10).status_code == 400


def test_batch_as_gcsfs_writes_it(cloud):
    put(cloud, "batched", b"x")
    parts = "".join(
        f"\n--==7==\nContent-Type: application/http\nContent-ID: <id+{number}>"
        f"\n\nDELETE {path} HTTP/1.1\nContent-Type: application/json\n"
        "accept: application/json\ncontent-length: 0\n"
        for number, path in enumerate(
            ("/storage/v1/b/bucket/o/batched", "/storage/v1/b/bucket/o/none", "/storage/v1/b/bucket/o/..%2Fx")
        )
    )
    answer = requests.post(
        f"{cloud.url}/batch/storage/v1",
        parts + "\n--==7==--",
        headers={"content-type": 'multipart/mixed; boundary="==7=="'},
        timeout=10,
    )
    boundary = answer.headers["content-type"].split("=", 1)[1]
    answers = answer.text.split(boundary)[1:-1]
    assert [part.split("HTTP/1.1 ")[1][:3] for part in answers] == ["204", "404", "404"]
    assert "No such object: bucket/none" in answers[1]
    assert not (cloud.root / "bucket/batched").exists()


def test_content_that_looks_like_its_own_boundary(cloud):
    content = b"before\n--==0==\nmiddle\n--==0==--\nafter\r"
    body = b'--==0==\nContent-Type: application/json\n\n{"name": "tricky"}\n'
    body += b"--==0==\nContent-Type: text/plain\n\n"
    answer = requests.post(
        f"{cloud.url}/upload/storage/v1/b/bucket/o?uploadType=multipart",
        body + content + b"\n--==0==--",
        headers={"content-type": 'multipart/related; boundary="==0=="'},
        timeout=10,
    )
    assert answer.status_code == 200
    assert (cloud.root / "bucket/tricky").read_bytes() == content
    cut = requests.post(
        f"{cloud.url}/upload/storage/v1/b/bucket/o?uploadType=multipart",
        body.replace(b"tricky", b"cut") + content[:20],
        headers={"content-type": 'multipart/related; boundary="==0=="'},
        timeout=10,
    )
    assert cut.status_code == 400
    assert not (cloud.root / "bucket/cut").exists()


def ask(app, path, *, state, host, method="GET", body=b""):
    """One request as the proxy that ends TLS passes it on."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.partition("?")[0].encode(),
        "query_string": path.partition("?")[2].encode(),
        "root_path": "",
        "headers": [(b"host", host.encode())],
        "server": ("127.0.0.1", 1),
        "client": ("127.0.0.1", 2),
        "state": state,
    }
    sent = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(part.get("body", b"") for part in sent[1:])


def test_through_the_proxy(cloud):
    app = storage_app(cloud.storage, token=TOKEN)
    put(cloud, "proxied", b"x")
    assert ask(app, "/storage/v1/b/bucket", state={}, host="storage.googleapis.com")[0] == 401
    authenticated = {"authenticated": True}
    status, _, body = ask(
        app, "/storage/v1/b/bucket/o/proxied", state=authenticated, host="storage.googleapis.com"
    )
    assert status == 200
    assert json.loads(body)["mediaLink"].startswith(
        "https://storage.googleapis.com/download/storage/v1/b/bucket/o/"
    )
    path = "/upload/storage/v1/b/bucket/o?uploadType=resumable&name=proxied"
    _, headers, _ = ask(app, path, state=authenticated, host="storage.googleapis.com", method="POST")
    assert headers[b"location"].startswith(
        b"https://storage.googleapis.com/upload/storage/v1/b/bucket/o?uploadType="
    )
