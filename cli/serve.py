import signal
import threading

from rich.console import Console

from cli.deployment import Deployment
from cli.stack import StoppedError, running_stack

_LOOK_EVERY_SECONDS = 0.5


def serve(deployment: Deployment, *, host: str, port: int, console: Console) -> None:
    """Run the whole stack until Ctrl-C or SIGTERM, starting again whatever part of it dies."""
    stopping = threading.Event()
    # Set from the handlers and looked at everywhere, so that stopping is the same whenever it comes.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())
    console.print(f"starting in [bold]{deployment.data_dir}[/]")
    try:
        with running_stack(deployment, host=host, port=port, is_stopping=stopping.is_set) as stack:
            console.print(f"[green]ready[/] at [bold]{stack.url}[/], logs in {deployment.log_of('*')}; Ctrl-C stops it")
            while not stopping.wait(_LOOK_EVERY_SECONDS):
                for name in stack.keep_alive():
                    console.print(f"[yellow]{name} died and was started again[/]")
            console.print("stopping")
    except StoppedError:
        pass
    console.print("stopped")
