from worker.scratch import clear_abandoned, work_dir_name


def test_only_attempts_that_are_over_are_removed_and_only_of_known_jobs(attempts, claimed, jobs, tmp_path):
    running = tmp_path / work_dir_name(claimed)
    over = tmp_path / f"{claimed.id}-0"
    unknown, foreign = tmp_path / "job_of_nobody-1", tmp_path / "notes"
    for directory in (running, over, unknown, foreign):
        directory.mkdir()

    clear_abandoned(tmp_path, jobs)

    assert set(tmp_path.iterdir()) == {running, unknown, foreign}


def test_attempt_of_a_job_that_ended_is_removed(attempts, claimed, jobs, tmp_path):
    (tmp_path / work_dir_name(claimed)).mkdir()
    attempts.lost(claimed, reason="its worker was killed")

    clear_abandoned(tmp_path, jobs)

    assert list(tmp_path.iterdir()) == []


def test_absent_directory_is_nothing_to_clear(jobs, tmp_path):
    clear_abandoned(tmp_path / "absent", jobs)
