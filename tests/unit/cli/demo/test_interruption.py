import os
import signal

import pytest

from cli.demo.interruption import interrupted_once


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_first_signal_interrupts(number):
    with pytest.raises(KeyboardInterrupt), interrupted_once():
        os.kill(os.getpid(), number)


def test_further_signals_do_not_disturb_the_cleaning_up():
    cleaned = []

    def interrupted_twice() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            cleaned.append(True)

    with pytest.raises(KeyboardInterrupt), interrupted_once():
        interrupted_twice()

    assert cleaned


def test_handlers_are_as_before_afterwards():
    before = signal.getsignal(signal.SIGTERM)

    with interrupted_once():
        pass

    assert signal.getsignal(signal.SIGTERM) is before
