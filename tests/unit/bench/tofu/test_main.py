import json

import pytest

from bench.tofu.__main__ import main


def command(data, directory, *more):
    return [
        "--data", str(data), "--model", "scratch", "--splits", "01", "--authors", "3", "--max-steps", "2",
        "--epochs", "2", "--width", "36", "--batch-size", "16", "--threads", "1",
        "--out", str(directory / "page.md"), "--cache", str(directory / "cache"), *more,
    ]  # fmt: skip


def test_a_benchmark_from_data_to_page_and_once_more_from_what_is_kept(write_tofu, tmp_path):
    given = command(write_tofu(), tmp_path, "--seeds", "1", "2", "--methods", "ihl:r=4,batch_size=8")

    main(given, commit="abc")

    kept = (tmp_path / "cache" / "runs.jsonl").read_text()
    runs = [json.loads(line) for line in kept.splitlines()]
    assert [(run["key"]["method"], run["key"]["seed"]) for run in runs] == [
        (method, seed) for seed in (1, 2) for method in ("full model", "retain-only reference", "ihl:r=4,batch_size=8")
    ]
    assert all(run["numbers"]["absent"] == {} for run in runs)
    page = (tmp_path / "page.md").read_text()
    assert "40 rows to forget, 20 to keep, 260 of left-out authors (200 for membership, 60 given to the jobs)." in page
    assert str(tmp_path) not in page
    assert "Writer" not in page + kept

    main(given, commit="abc")

    assert (tmp_path / "cache" / "runs.jsonl").read_text() == kept
    assert (tmp_path / "page.md").read_text() == page


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--methods", "forget_it"], "no method is called forget_it"),
        (["--model", "/nowhere"], "/nowhere is no directory"),
        (["--reference", "/nowhere"], "--reference is for --model PATH"),
        (["--authors", "2"], "--authors 2 does not fit split 01"),
    ],
)
def test_what_cannot_be_run_is_said_before_anything_runs(write_tofu, tmp_path, more, words):
    with pytest.raises(SystemExit, match=words):
        main(command(write_tofu(), tmp_path, *more))

    assert not (tmp_path / "cache").exists()
