import os
import subprocess
import sys

from worker.orders import Order

# In a group of its own, as the supervisor starts a runner.
LISTENS = "from worker.orders import Orders; orders = Orders(); print(orders.next(within_seconds=20), flush=True);"


def listening(*more):
    return subprocess.Popen(
        [sys.executable, "-c", LISTENS + "".join(more)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_order_goes_through_the_pipe_as_it_is():
    order = Order("job_0123", 7)

    assert Order.parse(order.line()) == order


def test_orders_arrive_one_after_the_other():
    with listening("print(orders.next(within_seconds=20))") as process:
        process.stdin.write(Order("job_1", 1).line() + Order("job_2", 5).line())
        process.stdin.flush()
        told = process.stdout.read().decode().splitlines()

    assert told == [str(Order("job_1", 1)), str(Order("job_2", 5))]
    assert process.returncode == 0


def test_no_order_in_time_is_none():
    with listening("print(orders.next(within_seconds=0.05))") as process:
        process.stdin.write(Order("job_1", 1).line())
        process.stdin.flush()
        told = process.stdout.read().decode().splitlines()

    assert told[1:] == ["None"]


def test_end_of_the_orders_ends_the_process_and_its_children_at_once():
    with listening("import subprocess, time; subprocess.Popen(['sleep', '60']); print('up', flush=True);") as process:
        process.stdin.write(Order("job_1", 1).line())
        process.stdin.flush()
        assert process.stdout.readline()
        assert process.stdout.readline()

        process.stdin.close()

        assert process.stdout.read() == b""  # its child held the pipe as well
