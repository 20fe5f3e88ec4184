from celery import Celery

from worker.tasks import register


def test_task_hands_its_id_on_and_never_raises():
    app = Celery("test", set_as_current=False)
    told = []

    def run(job_id):
        told.append(job_id)
        raise ValueError("a text")

    register(app, "lethe.run_job", run)

    app.tasks["lethe.run_job"]("job_1")

    assert told == ["job_1"]
