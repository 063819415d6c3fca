#!/usr/bin/python3
"""Stands in for rqlited: its HTTP API as far as health checks ask it.

The file `node` says how it is: opening, leaderless, ready, slow, deaf, dead, or settling,
which is ready when it is asked for the first time and slow from then on.
"""

import os
import socket
import sys
import threading
import time

STATUS = """{"store": {"leader": {"addr": "10.0.0.1:4002"}, "nodes": [{}, {}, {}],
 "raft": {"state": "Follower", "commit_index": 9, "applied_index": 9, "term": 2}}}"""
READYZ = {
    "opening": ("500 Internal Server Error", "leader address: store not open"),
    "leaderless": ("503 Service Unavailable", "[+]node ok\n[+]leader does not exist"),
    "ready": ("200 OK", "[+]node ok\n[+]leader ok\n[+]store ok"),
    "slow": ("200 OK", "[+]node ok\n[+]leader ok\n[+]store ok"),
}


asked = threading.Semaphore(1)


def how():
    with open("node") as file:
        said = file.read().strip()
    if said == "dead":
        print("cannot replay the log", flush=True)
        os._exit(1)
    return said


def serve(connection):
    with connection:
        request = connection.recv(4096).decode(errors="replace")
        said = how()
        path = request.split(" ")[1].split("?")[0]
        if said == "settling" and path == "/readyz":
            said = "ready" if asked.acquire(blocking=False) else "slow"
        if said == "slow":
            time.sleep(5)
        status, body = READYZ[said] if path == "/readyz" else ("200 OK", STATUS)
        head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(body)}"
        connection.sendall(f"{head}\r\n\r\n{body}".encode())


host, port = sys.argv[sys.argv.index("-http-addr") + 1].split(":")
listener = None
while True:
    said = how()
    if said == "deaf" and listener:
        listener.close()
        listener = None
    if said != "deaf" and not listener:
        listener = socket.create_server((host, int(port)))
        listener.settimeout(0.05)
    if not listener:
        time.sleep(0.05)
        continue
    try:
        connection, _ = listener.accept()
    except TimeoutError:
        continue
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
