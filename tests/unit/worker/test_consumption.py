from worker.consumption import ConsumptionWatch


def watch(queue, *, busy=False):
    return ConsumptionWatch(queue, is_busy=lambda: busy, patience_seconds=10)


def test_idle_worker_before_waiting_messages_is_stalled_after_its_patience(queue):
    queue.publish("job_1")
    observer = watch(queue)

    assert [observer.is_stalled(now) for now in (0.0, 9.0, 10.0)] == [False, False, True]


def test_busy_worker_is_not_stalled(queue):
    queue.publish("job_1")
    observer = watch(queue, busy=True)

    assert [observer.is_stalled(now) for now in (0.0, 100.0)] == [False, False]


def test_message_that_was_taken_meanwhile_proves_it_well(queue):
    queue.publish("job_1")
    observer = watch(queue)
    observer.is_stalled(0.0)
    queue.take()
    observer.is_stalled(9.0)
    queue.publish("job_2")

    assert not observer.is_stalled(18.0)


def test_broker_that_is_away_is_not_the_workers_fault(queue):
    queue.away = True
    observer = watch(queue)

    assert [observer.is_stalled(now) for now in (0.0, 100.0)] == [False, False]
