import subprocess
import sys

SCRIPT = """
import sys

HEAVY = {"torch", "transformers", "peft", "safetensors", "accelerate"}

class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HEAVY:
            raise ImportError(f"the light half imported {name}")

sys.meta_path.insert(0, Refusal())

from api.main import create_app
from api.settings import ApiSettings

app = create_app(ApiSettings(
    database_url="sqlite:///" + sys.argv[1] + "/lethe.db",
    broker_url="redis://localhost:1/0",
    store_url="file://" + sys.argv[1],
    secret_key="f1a9d03b5c7e4862a0b1c2d3e4f56789",
))
assert len(app.openapi()["paths"]) > 10
assert not HEAVY & {name.partition(".")[0] for name in sys.modules}
"""


def test_the_application_is_built_without_torch(tmp_path):
    ran = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
