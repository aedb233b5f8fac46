"""Stands between a program and PostgreSQL, and holds some connections back.

usage: slow_proxy.py LISTEN TARGET MARK NAME...

LISTEN and TARGET are Unix sockets. A connection whose first bytes contain one of the names (its
application_name, say) is forwarded until the client sends the bytes MARK; from then on nothing of what it sends
goes on, and the server hears no more than that the client hangs up. MARK may hold \\0.
"""
import os
import selectors
import socket
import sys
import threading


def forward(client, server, mark, names):
    chosen = held = False
    first = True
    selector = selectors.DefaultSelector()
    selector.register(client, selectors.EVENT_READ, server)
    selector.register(server, selectors.EVENT_READ, client)
    while True:
        for key, _ in selector.select():
            data = key.fileobj.recv(1 << 16)
            if not data:
                return
            if key.fileobj is client:
                if first:
                    chosen = any(name in data for name in names)
                    first = False
                held = held or (chosen and mark in data)
                if held:
                    continue
            key.data.sendall(data)


def serve(client, target, mark, names):
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(target)
        forward(client, server, mark, names)
    except OSError:
        pass
    finally:
        client.close()
        server.close()


def main():
    listen, target, mark = sys.argv[1:4]
    names = [name.encode() for name in sys.argv[4:]]
    mark = mark.encode().replace(b'\\0', b'\0')
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(listen + '.new')
    listener.listen(64)
    os.chmod(listen + '.new', 0o777)
    os.rename(listen + '.new', listen)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(client, target, mark, names), daemon=True).start()


if __name__ == '__main__':
    main()
