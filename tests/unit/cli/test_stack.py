from cli.deployment import Deployment
from cli.stack import Stack


def test_api_ends_within_its_stacks_patience_and_does_not_name_its_server(tmp_path):
    stack = Stack(Deployment.at(tmp_path / "d"), "127.0.0.1", 8000)

    command = next(part for part in stack.parts if part.name == "api").command

    assert "--no-server-header" in command
    assert command[command.index("--timeout-graceful-shutdown") + 1] == "5"
