import json
import subprocess
import sys

SECRET = "a text to forget"

FAIL = f"""
import logging
from worker.logs import configure_logging, get_logger
configure_logging("INFO")
def quote():
    try:
        raise KeyError({SECRET!r})
    except KeyError as cause:
        raise ValueError({SECRET!r}) from cause
try:
    quote()
except ValueError:
    get_logger("here").exception("it failed", job_id="job_1")
    logging.getLogger("a.library").exception("it failed")
quote()
"""


def test_exceptions_are_logged_by_type_and_place_and_never_by_text():
    ended = subprocess.run([sys.executable, "-c", FAIL], capture_output=True, text=True, check=False)

    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert ended.returncode == 1
    assert [line["error"] for line in lines] == ["ValueError from KeyError"] * 3
    assert lines[0]["job_id"] == "job_1"
    assert lines[0]["places"][-1].endswith("quote")
    assert SECRET not in ended.stdout + ended.stderr


WARN = f"""
import warnings
from worker.logs import configure_logging
configure_logging("INFO")
def quote():
    warnings.warn({SECRET!r}, RuntimeWarning)  # {SECRET}
quote()
"""


def test_warnings_are_logged_by_category_and_place_and_never_by_text():
    ended = subprocess.run([sys.executable, "-c", WARN], capture_output=True, text=True, check=True)

    (line,) = [json.loads(line) for line in ended.stderr.splitlines()]
    assert (line["logger"], line["category"], line["place"]) == ("py.warnings", "RuntimeWarning", "<string>:6")
    assert SECRET not in ended.stdout + ended.stderr
