"""Stands between a program and PostgreSQL, and cuts connections off at COMMIT.

usage: cut_proxy.py LISTEN TARGET ORDER MARK

LISTEN and TARGET are Unix sockets. ORDER is a file that says what is to be cut from now on: "before" or "after", from
which time on, up to which, and a regular expression for the application_name, with blanks between; while it is not there,
nothing is. A connection of such a name that has sent bytes that MARK (a regular expression) matches is cut at its next
COMMIT: "before" the server has got it, or "after" it has answered, and the answer does not go on. Then a line is printed:
the name.
"""
import os
import re
import selectors
import socket
import sys
import threading


lock = threading.Lock()
taken = {}  # of each order


class Connection:
    def __init__(self, client, server, order, mark):
        self.client, self.server, self.order, self.mark = client, server, order, mark
        self.name = None
        self.marked = self.awaited = False

    def wanted(self):
        """Whether, and when, it is to be cut now; counted."""
        try:
            with open(self.order) as file:
                key, words = os.fstat(file.fileno()).st_mtime_ns, file.read().strip().split(' ', 3)
        except OSError:
            return None
        if len(words) < 4 or not re.fullmatch(words[3], self.name):
            return None
        with lock:
            taken[key] = taken.get(key, 0) + 1
            return words[0] if int(words[1]) <= taken[key] <= int(words[2]) else None

    def cut(self):
        print(self.name, flush=True)
        return False

    def from_client(self, data):
        """False: it is cut."""
        if self.name is None:
            found = re.search(rb'\0application_name\0([^\0]*)\0', data)
            self.name = found.group(1).decode() if found else ''
        self.marked = self.marked or re.search(self.mark, data) is not None
        if self.marked and b'COMMIT\0' in data:
            self.marked = False
            when = self.wanted()
            if when == 'before':
                return self.cut()
            self.awaited = when == 'after'
        self.server.sendall(data)
        return True

    def from_server(self, data):
        if self.awaited:
            return b'COMMIT\0' not in data or self.cut()
        self.client.sendall(data)
        return True

    def forward(self):
        selector = selectors.DefaultSelector()
        selector.register(self.client, selectors.EVENT_READ, self.from_client)
        selector.register(self.server, selectors.EVENT_READ, self.from_server)
        while True:
            for key, _ in selector.select():
                data = key.fileobj.recv(1 << 16)
                if not data or not key.data(data):
                    return


def serve(client, target, order, mark):
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(target)
        Connection(client, server, order, mark).forward()
    except OSError:
        pass
    finally:
        client.close()
        server.close()


def main():
    listen, target, order, mark = sys.argv[1:5]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(listen + '.new')
    listener.listen(64)
    os.chmod(listen + '.new', 0o777)
    os.rename(listen + '.new', listen)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(client, target, order, mark.encode()), daemon=True).start()


if __name__ == '__main__':
    main()
