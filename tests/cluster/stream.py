"""A plain TCP transfer, to hold links against their rate.

    python -m tests.cluster.stream receive
    python -m tests.cluster.stream send HOST MEGABYTES

The receiver prints that it listens, and then the bits that have arrived in a second.
"""

import socket
import sys
import time

PORT = 29600


def receive() -> None:
    with socket.create_server(("", PORT)) as server:
        print("listening", flush=True)
        connection, _ = server.accept()
    buffer, count, began = bytearray(1 << 20), 0, time.perf_counter()
    while size := connection.recv_into(buffer):
        count += size
    print(8 * count / (time.perf_counter() - began))


def send(host: str, megabytes: str) -> None:
    with socket.create_connection((host, PORT)) as connection:
        for _ in range(int(megabytes)):
            connection.sendall(bytes(1_000_000))


if __name__ == "__main__":
    {"receive": receive, "send": send}[sys.argv[1]](*sys.argv[2:])
