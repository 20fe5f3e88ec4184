import socket
import threading

import pytest

from bench.performance.http_load import Burst, burst, request_bytes

REQUEST = request_bytes("GET", "/v1/jobs/job_1", key="lethe_0")


class Server:
    """Answers whatever comes with the same bytes, in pieces, and counts connections and requests."""

    def __init__(self, answer, *, piece=7):
        self._answer, self._piece = answer, piece
        self.requests = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._threads.append(threading.Thread(target=self._serve, args=[connection]))
            self._threads[-1].start()

    def _serve(self, connection):
        with connection:
            while request := connection.recv(65536):
                self.requests.append(request)
                for start in range(0, len(self._answer), self._piece):
                    connection.sendall(self._answer[start : start + self._piece])

    def stop(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def serve():
    servers = []

    def start(answer, **options):
        servers.append(Server(answer, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def test_every_request_is_answered_over_the_connections_that_there_are(serve):
    server = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    ended = burst(server.port, [REQUEST] * 20, connections=3, status=200)

    assert len(ended.latencies) == 20
    assert server.requests == [REQUEST] * 20
    assert server.connections == 3
    assert 0 < max(ended.latencies) <= ended.seconds


def test_an_answer_of_another_status_ends_the_burst(serve):
    server = serve(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")

    with pytest.raises(RuntimeError, match=r"HTTP/1.1 202 .*was expected.*HTTP/1.1 5"):
        burst(server.port, [REQUEST], connections=1, status=202)


def test_an_answer_that_does_not_tell_its_length_ends_the_burst(serve):
    server = serve(b"HTTP/1.1 200 OK\r\n\r\nhello", piece=64)

    with pytest.raises(RuntimeError, match="length"):
        burst(server.port, [REQUEST], connections=1, status=200)


def test_a_body_is_sent_as_json_with_its_length():
    sent = request_bytes("POST", "/v1/deletion-requests", key="lethe_0", body=b"{}")

    assert sent == (
        b"POST /v1/deletion-requests HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer lethe_0\r\n"
        b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )


def test_one_in_a_hundred_takes_at_least_the_p99():
    ended = Burst(seconds=2.0, latencies=[float(place) for place in range(200)], client_seconds=0.1)

    assert ended.p99 == 198.0
    assert sum(latency >= ended.p99 for latency in ended.latencies) == 2
    assert ended.rate == 100.0
