import asyncio
import json

import pytest

from tests.unit.api.harness import a_body, problem

PATH = "/v1/deletion-requests"
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b'{"a": 1, "a": 2}',
        b'{"metadata": {"k": "v", "k": "w"}}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": "\x01"}',
        b'{"a": ' + b"[" * 9000 + b"]" * 9000 + b"}",
        b'{"a": ' + b'{"b":' * 3000 + b"1" + b"}" * 3000 + b"}",
        b"{} {}",
    ],
)
def test_what_is_not_one_json_object_is_400(client, content):
    problem(client.post(PATH, content=content, headers=JSON), 400, "invalid_json")


@pytest.mark.parametrize("field", ["forget", "method", "metadata", "external_id"])
def test_nesting_that_json_still_reads_is_refused_without_a_crash(client, field):
    deep = b"[" * 400 + b"]" * 400
    body = json.dumps(a_body() | {field: "HERE"}).encode().replace(b'"HERE"', deep)
    assert client.post(PATH, content=body, headers=JSON).status_code == 422


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "json",
        ";;",
        "a/b+json",
    ],
)
def test_a_body_that_is_not_announced_as_json_is_415(client, content_type):
    headers = {} if content_type is None else {"Content-Type": content_type}
    content = json.dumps(a_body()).encode()
    problem(client.post(PATH, content=content, headers=headers), 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=UTF-8", "Application/JSON", 'application/json;charset="utf-8"']
)
def test_json_in_utf8_is_read_however_it_is_spelled(client, content_type):
    content = json.dumps(a_body()).encode()
    assert client.post(PATH, content=content, headers={"Content-Type": content_type}).status_code == 202


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "nonsense"])
def test_an_encoded_body_is_415(client, encoding):
    headers = JSON | {"Content-Encoding": encoding}
    problem(client.post(PATH, content=json.dumps(a_body()).encode(), headers=headers), 415, "unsupported_media_type")


@pytest.mark.parametrize("encoding", ["", "identity", "Identity"])
def test_a_body_that_is_not_encoded_is_read(client, encoding):
    headers = JSON | {"Content-Encoding": encoding}
    assert client.post(PATH, content=json.dumps(a_body()).encode(), headers=headers).status_code == 202


def test_a_body_as_large_as_the_limit_is_read(client):
    content = json.dumps(a_body()).encode().ljust(20_000)
    assert client.post(PATH, content=content, headers=JSON).status_code == 202


def test_a_body_announced_as_too_large_is_413(client):
    content = json.dumps(a_body()).encode().ljust(20_001)
    refused = problem(client.post(PATH, content=content, headers=JSON), 413, "body_too_large")
    assert "20000" in refused["detail"]


def test_a_chunked_body_is_counted_while_it_arrives(world):
    answer, num_read = asyncio.run(_post_in_chunks(world, num_chunks=1000, chunk=b" " * 1000))
    assert answer["status"] == 413
    assert num_read == 21  # 20 fill the limit; the one that breaks it is the last that is asked for


async def _post_in_chunks(world, *, num_chunks, chunk):
    """Speak ASGI as a server does for a chunked body: no length, piece by piece."""
    sent, num_read = [], 0

    async def receive():
        nonlocal num_read
        num_read += 1
        return {"type": "http.request", "body": chunk, "more_body": num_read < num_chunks}

    async def send(message):
        sent.append(message)

    headers = [(b"authorization", f"Bearer {world.token()}".encode()), (b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [*headers, (b"transfer-encoding", b"chunked")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    await world.app(scope, receive, send)
    return sent[0], num_read
