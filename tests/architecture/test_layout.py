import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("api", "worker", "cli", "core", "bench")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TREES = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in MODULES}

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
MIGRATIONS = "core/backends/sql/migrations/versions/"  # a migration is one list of tables, and is never edited again
BANNED_WORDS = {"util", "utils", "helper", "helpers", "common", "manager", "processor", "misc"}

# Besides */settings.py. None of them reads a value: they hand their own environment on to a child.
ENVIRONMENT_READERS = {
    "cli/demo/conversation.py": "the demo asks the adapter in a fresh process",
    "cli/main.py": "`lethe worker` becomes another program",
    "cli/part.py": "`lethe serve` starts the parts of the stack",
    "worker/processes.py": "the worker starts runners",
}


def nodes(kind):
    return [(path, node) for path, tree in TREES.items() for node in ast.walk(tree) if isinstance(node, kind)]


def words_of(name):
    """Return the words of a file or class name: ``object_store`` and ``ObjectStore`` have the same two."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)}


def reads_environment(node):
    match node:
        case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "environb" | "getenv" | "putenv"):
            return True
        case ast.ImportFrom(module="os", names=names):
            return any(name.name in {"environ", "getenv"} for name in names)
    return False


def test_the_import_contracts_hold():
    program = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run([program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


def test_every_module_stays_within_its_budget():
    lines = {path: len((ROOT / path).read_text().splitlines()) for path in TREES}
    assert {path: count for path, count in lines.items() if count > MAX_MODULE_LINES} == {}


def test_every_function_stays_within_its_budget():
    functions = [
        (f"{path}:{node.name}", (node.end_lineno or 0) - node.lineno + 1)
        for path, node in nodes(ast.FunctionDef | ast.AsyncFunctionDef)
        if not path.startswith(MIGRATIONS)
    ]
    assert [(name, lines) for name, lines in functions if lines > MAX_FUNCTION_LINES] == []


def test_no_file_has_a_name_that_says_nothing():
    names = [part for path in TREES for part in Path(path).with_suffix("").parts]
    assert [name for name in names if words_of(name) & BANNED_WORDS] == []


def test_no_class_has_a_name_that_says_nothing():
    classes = [f"{path}:{node.name}" for path, node in nodes(ast.ClassDef) if words_of(node.name) & BANNED_WORDS]
    assert classes == []


def test_the_environment_is_read_in_settings_alone():
    readers = {path for path, node in nodes(ast.Attribute | ast.ImportFrom) if reads_environment(node)}
    assert {path for path in readers if not path.endswith("/settings.py")} == ENVIRONMENT_READERS.keys()


def test_the_cuda_cache_is_emptied_between_jobs_alone():
    calls = [path for path, node in nodes(ast.Attribute) if node.attr == "empty_cache"]
    assert calls == ["worker/recipe.py"]
