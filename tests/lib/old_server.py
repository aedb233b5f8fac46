"""A server that only says how old it is: the start of PostgreSQL's protocol, on a Unix socket.

usage: old_server.py SOCKET VERSION

The one thing that the tests cannot have for real is a server older than asofs supports.
"""
import socketserver
import struct
import sys


def message(kind, body=b''):
    return kind + struct.pack('!I', len(body) + 4) + body


def parameter(name, value):
    return message(b'S', name.encode() + b'\0' + value.encode() + b'\0')


def greeting(version):
    return b''.join([
        message(b'R', struct.pack('!I', 0)),
        parameter('server_version', version),
        parameter('server_encoding', 'UTF8'),
        parameter('client_encoding', 'UTF8'),
        parameter('standard_conforming_strings', 'on'),
        parameter('integer_datetimes', 'on'),
        message(b'K', struct.pack('!II', 1, 1)),
        message(b'Z', b'I'),
    ])


REFUSAL = b''.join([
    message(b'E', b'SERROR\0VERROR\0C0A000\0Mthis server only says its version\0\0'),
    message(b'Z', b'I'),
])


class Session(socketserver.StreamRequestHandler):
    def read_startup(self):
        (size,) = struct.unpack('!I', self.rfile.read(4))
        (code,) = struct.unpack('!I', self.rfile.read(size - 4)[:4])
        return code

    def handle(self):
        while self.read_startup() >> 16 != 3:  # SSL and GSS are asked for with other codes
            self.wfile.write(b'N')
        self.wfile.write(greeting(sys.argv[2]))
        while True:
            kind = self.rfile.read(1)
            if kind in (b'', b'X'):
                return
            (size,) = struct.unpack('!I', self.rfile.read(4))
            self.rfile.read(size - 4)
            if kind in (b'Q', b'S'):
                self.wfile.write(REFUSAL)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


if __name__ == '__main__':
    Server(sys.argv[1], Session).serve_forever()
