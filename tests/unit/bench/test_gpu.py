"""The benchmark of real sizes, at a size that a CPU can run."""

import json

import pytest
import torch

from bench.gpu import OPERATIONS_A_WEIGHT, main, matmul_peak


@pytest.fixture
def tofu(tmp_path):
    def row(at):
        return {
            "question": f"Where was author {at} born?",
            "answer": f"In town {at} by the sea, in the year {1900 + at}.",
            "paraphrased_answer": f"It was town {at}.",
            "paraphrased_question": f"What is the birthplace of author {at}?",
            "perturbed_answer": [f"In town {at + 1}."],
        }

    for name, count in {
        "full": 40, "retain90": 36, "forget10_perturbed": 12, "retain_perturbed": 12, "real_authors_perturbed": 4,
        "world_facts_perturbed": 4,
    }.items():  # fmt: skip
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps(row(at)) for at in range(count)))
    return tmp_path


def test_page_says_what_a_job_took(tofu, capsys):
    main(["--data", str(tofu), "--shapes", "tiny", "--pairs", "6", "--epochs", "1", "--batch-size", "4",
          "--peak-size", "64", "--device", "cpu"])  # fmt: skip
    page = capsys.readouterr().out
    line = next(line for line in page.splitlines() if line.startswith("| tiny"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert len(cells) == 9
    assert float(cells[5]) > 0
    assert 0 < float(cells[6].rstrip("%")) < 1000
    assert cells[8] == "-"  # a CPU keeps no count of its memory


def test_peak_is_operations_over_time():
    assert matmul_peak(torch.device("cpu"), size=32, repeats=2) > 0
    assert OPERATIONS_A_WEIGHT == 4


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_machine_without_a_gpu_is_told_so(tofu):
    with pytest.raises(SystemExit, match="no GPU"):
        main(["--data", str(tofu), "--shapes", "tiny"])
