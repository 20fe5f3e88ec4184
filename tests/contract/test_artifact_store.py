import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.backends.storage.object_store import PIECE_BYTES, open_store
from core.domain.errors import ArtifactMissingError
from core.ports import ArtifactStore
from tests.contract.conftest import BUCKET, S3_KEYS
from tests.fakes.artifact_store import FakeArtifactStore

KEY = "jobs/job_1/report.json"


def test_get_returns_the_bytes_that_were_put(store: ArtifactStore):
    payload = bytes(range(256))

    store.put(KEY, payload)

    assert store.get(KEY) == payload


def test_put_replaces_what_was_there(store: ArtifactStore):
    store.put(KEY, b"a longer first version")
    store.put(KEY, b"second")

    assert store.get(KEY) == b"second"


def test_an_empty_artifact_is_stored_and_streamed(store: ArtifactStore):
    store.put(KEY, b"")

    assert store.exists(KEY)
    assert store.get(KEY) == b""
    assert b"".join(store.stream(KEY)) == b""


def test_get_raises_when_nothing_is_stored(store: ArtifactStore):
    with pytest.raises(ArtifactMissingError):
        store.get(KEY)


def test_stream_raises_before_the_first_piece_when_nothing_is_stored(store: ArtifactStore):
    with pytest.raises(ArtifactMissingError):
        store.stream(KEY)


@pytest.mark.parametrize(
    ("start", "end"), [(0, None), (0, 10), (3, 7), (9_990, None), (9_990, 20_000), (10_000, None), (5, 5)]
)
def test_stream_yields_the_range(store: ArtifactStore, start: int, end: int | None):
    payload = bytes(number % 251 for number in range(10_000))
    store.put(KEY, payload)

    assert b"".join(store.stream(KEY, start=start, end=end)) == payload[start:end]


def test_stream_comes_in_pieces_when_the_artifact_is_large(store: ArtifactStore):
    payload = b"0123456789abcdef" * ((2 * PIECE_BYTES + 4096) // 16)
    store.put(KEY, payload)

    pieces = list(store.stream(KEY))

    assert len(pieces) > 2
    assert max(len(piece) for piece in pieces) <= PIECE_BYTES
    assert b"".join(pieces) == payload


def test_exists_tells_presence(store: ArtifactStore):
    assert not store.exists(KEY)
    store.put(KEY, b"x")
    assert store.exists(KEY)
    assert not store.exists("jobs/job_1")  # a folder is not an artifact


def test_delete_removes_and_may_be_repeated(store: ArtifactStore):
    store.put(KEY, b"x")

    store.delete(KEY)
    store.delete(KEY)

    assert not store.exists(KEY)


def test_keys_lists_what_lies_below_the_folder(store: ArtifactStore):
    for key in ("checkpoints/job_1", "checkpoints/job_2", "checkpoints/deep/job_3", "checkpoints-of-old/x", "jobs/y"):
        store.put(key, b"x")
    store.delete("checkpoints/job_2")

    assert sorted(store.keys("checkpoints")) == ["checkpoints/deep/job_3", "checkpoints/job_1"]


def test_keys_is_empty_where_nothing_was_ever_stored(store: ArtifactStore):
    assert list(store.keys("checkpoints")) == []


def test_keys_lists_more_than_a_page_of_s3(store: ArtifactStore):
    for number in range(1001):
        store.put(f"many/{number}", b"")

    assert len(list(store.keys("many"))) == 1001


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../secret", "a/../../b", "a//b", "a/", "a b", "a\\b", "é", ".."])
@pytest.mark.parametrize("method", ["get", "exists", "delete", "stream", "keys"])
def test_a_key_outside_the_alphabet_is_refused(store: ArtifactStore, method: str, key: str):
    with pytest.raises(ValueError, match="no artifact key"):
        getattr(store, method)(key)


def test_a_reader_sees_one_version_whole_when_writers_replace_it(store: ArtifactStore):
    versions = [bytes([letter]) * 200_000 for letter in b"abcd"]
    store.put(KEY, versions[0])
    written = threading.Event()

    def write(version: bytes) -> None:
        for _ in range(3):
            store.put(KEY, version)

    def read() -> list[bytes]:
        seen = [store.get(KEY)]
        while not written.is_set():
            seen.append(store.get(KEY))
        return seen

    with ThreadPoolExecutor(5) as pool:
        reader = pool.submit(read)
        for writer in [pool.submit(write, version) for version in versions]:
            writer.result()
        written.set()

    assert set(reader.result()) <= set(versions)


def test_check_passes_when_the_store_answers(store: ArtifactStore):
    store.check()


def test_check_raises_when_the_fake_is_away():
    store = FakeArtifactStore()
    store.away = True

    with pytest.raises(ConnectionError):
        store.check()


def test_check_raises_when_the_directory_is_gone_for_good(tmp_path):
    (tmp_path / "artifacts").mkdir()
    store = open_store(f"file://{tmp_path}/artifacts")
    (tmp_path / "artifacts").rmdir()
    (tmp_path / "artifacts").write_text("a file in its place")

    with pytest.raises(Exception, match="artifacts"):
        store.check()


def test_check_raises_when_the_bucket_does_not_exist(s3_endpoint):
    store = open_store("s3://no-such-bucket", endpoint=s3_endpoint, **S3_KEYS)

    with pytest.raises(Exception, match=r"no-such-bucket|NoSuchBucket"):
        store.check()


def test_stores_with_two_prefixes_do_not_meet(s3_endpoint):
    left, right = (open_store(f"s3://{BUCKET}/{name}", endpoint=s3_endpoint, **S3_KEYS) for name in ("left", "right"))

    left.put(KEY, b"x")

    assert not right.exists(KEY)


@pytest.mark.parametrize("url", ["ftp://host/x", "/plain/path", "file://host/x", "s3:///prefix", "file://"])
def test_open_store_refuses_another_url(url: str):
    with pytest.raises(ValueError, match="no artifact store"):
        open_store(url)


def test_open_store_reads_an_escaped_path(tmp_path):
    open_store(f"file://{tmp_path}/with%20space").put("a", b"x")

    assert (tmp_path / "with space" / "a").read_bytes() == b"x"
