"""A web server whose answers are written in a file.

    server.py PORT

The file `mood` beside it has words, one for each request; the last one goes on. The words
begin anew when the file changes and when the server starts. Each request is noted in the
file `requests`: the server's pid, the word, how many were being answered.

    200, 500 …  this status      hang  no answer
    slow0.3     200 after that   work  no answer, but work: CPU time and output
    exit3       the end          hold150  200, and 150 MiB are taken; free gives them back
    spin        200, and one thread spins; rest lets it stop
"""

import os
import socket
import sys
import threading
import time

PORT = int(sys.argv[1])
LOCK = threading.Lock()
state = {"text": "", "words": ["200"], "next": 0, "active": 0, "spin": False, "held": None}


def word():
    """The word for this request."""
    with LOCK:
        try:
            with open("mood") as file:
                text = file.read()
        except OSError:
            text = ""
        if text.split() and text != state["text"]:
            state.update(text=text, words=text.split(), next=0)
        place = min(state["next"], len(state["words"]) - 1)
        state["next"] += 1
        return state["words"][place]


def note(said):
    with open("requests", "a") as file:
        file.write(f"{os.getpid()} {said} {state['active']}\n")


def spin(is_wanted):
    while is_wanted():
        sum(range(1000))


def act(said):
    """Does what the word says; the status to answer with, or none."""
    if said == "hang":
        time.sleep(3600)
    elif said == "work":
        end = time.monotonic() + 2
        while time.monotonic() < end:
            spin_end = time.monotonic() + 0.05
            spin(lambda: time.monotonic() < spin_end)
            print("working", flush=True)
        return None
    elif said.startswith("slow"):
        time.sleep(float(said[4:]))
    elif said.startswith("exit"):
        os._exit(int(said[4:]))
    elif said.startswith("hold"):
        if not state["held"]:
            state["held"] = b"x" * (int(said[4:]) << 20)
    elif said == "free":
        state["held"] = None
    elif said == "spin":
        if not state["spin"]:
            state["spin"] = True
            threading.Thread(target=spin, args=(lambda: state["spin"],), daemon=True).start()
    elif said == "rest":
        state["spin"] = False
    else:
        return said
    return "200"


def serve(connection):
    with connection:
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(4096)
            if not more:
                return
            data += more
        said = word()
        with LOCK:
            state["active"] += 1
            note(said)
        status = act(said)
        with LOCK:
            state["active"] -= 1
        if status:
            body = f"said {status}"
            head = f"HTTP/1.1 {status} Whatever\r\nConnection: close\r\nContent-Length: {len(body)}"
            connection.sendall(f"{head}\r\n\r\n{body}".encode())


listener = socket.create_server(("127.0.0.1", PORT), backlog=128)
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
