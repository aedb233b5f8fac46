#!/usr/bin/env python3
"""odd_server.py SOCKET DIR PLACE:ODDITY... - servers that answer as PostgreSQL does, but for one query, oddly.

SOCKET is that of a real server. For each PLACE:ODDITY there is DIR/PLACE:ODDITY/.s.PGSQL.5432, which passes everything
on to the real server and back, until a statement of the PLACE comes: what is answered to that is the ODDITY's. PLACE
"start" is the beginning of a connection itself. "ready" is printed when all of them listen, and the name of one each time that it is
odd. It ends with its standard input.
"""
import os
import re
import socket
import struct
import sys
import threading
import time

# A place: what the text of the statement matches, and what the application's name begins with.
PLACES = {
    "session": (r"BEGIN; SET LOCAL client_conn", "asofs"),
    "facts": (r"current_setting\('server_version'\)", "asofs"),
    "begin": (r"^BEGIN TRANSACTION", "asofs"),
    "tables": (r"WITH RECURSIVE pattern", "asofs"),
    "columns": (r"pg_attribute a LEFT JOIN|FROM pg_catalog.pg_attribute a WHERE", "asofs"),
    "lock": (r"^LOCK TABLE", "asofs"),
    "snapshot": (r"pg_export_snapshot", "asofs"),
    "savepoint": (r"SAVEPOINT asofs", "asofs worker"),
    "copy": (r"^COPY ", "asofs worker"),
    "cluster": (r"pg_control_init", "asofs heaps"),
    "heaps": (r"heap_tableam_handler", "asofs heaps"),
    "attributes": (r"attmissingval", "asofs heaps"),
    "types": (r"array_subscript_handler", "asofs heaps"),
    "fields": (r"t.typtype = 'c' AND a.attnum", "asofs heaps"),
    "labels": (r"FROM pg_catalog.pg_enum e", "asofs heaps"),
    "names": (r"pg_catalog.regclassout", "asofs heaps"),
    "look": (r"pg_control_checkpoint", "asofs base"),
    "slot": (r"pg_replication_slots", "asofs base"),
    "spaces": (r"pg_tablespace_location", "asofs base"),
}
CHUNK = b"x" * 8000


def msg(kind, body=b""):
    return kind + struct.pack("!I", len(body) + 4) + body


def error(severity=None, state=None, text=None):
    fields = ((b"S", severity), (b"V", severity), (b"C", state), (b"M", text))
    return msg(b"E", b"".join(k + v + b"\0" for k, v in fields if v) + b"\0")


READY = msg(b"Z", b"I")


def read_exactly(c, n):
    data = b""
    while len(data) < n:
        more = c.recv(n - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def read_message(c):
    head = read_exactly(c, 5)
    return head[:1], read_exactly(c, struct.unpack("!I", head[1:])[0] - 4)


def values_of(body):
    n, at, values = struct.unpack("!H", body[:2])[0], 2, []
    for _ in range(n):
        size = struct.unpack("!i", body[at:at + 4])[0]
        at += 4
        values.append(None if size < 0 else body[at:at + size])
        at += max(size, 0)
    return values


def row(values):
    return msg(b"D", struct.pack("!H", len(values)) + b"".join(
        struct.pack("!i", -1) if v is None else struct.pack("!i", len(v)) + v for v in values))


def description(n, form=0):
    return msg(b"T", struct.pack("!H", n) + (b"c\0" + struct.pack("!IHIhih", 0, 0, 25, -1, -1, form)) * n)


def endless(piece):
    while True:
        yield piece


def slowly(data):
    for i in range(len(data)):
        time.sleep(0.3)
        yield data[i:i + 1]


class Odd:
    """What is sent in place of the answer: real is the list of (kind, body) that the real server gave."""

    def __init__(self, name, real):
        self.real, self.raw = real, b"".join(msg(k, b) for k, b in real)
        self.make = getattr(self, name)

    def rows(self, change):
        return b"".join(row(change(values_of(b))) if k == b"D" else msg(k, b) for k, b in self.real)

    def columns(self):
        return next((struct.unpack("!H", b[:2])[0] for k, b in self.real if k == b"T"), 1)

    def without(self, *kinds):
        return b"".join(msg(k, b) for k, b in self.real if k not in kinds)

    def ahead(self, flood):
        yield self.without(b"Z", b"C")
        yield from flood

    # rows that are not as they have to be
    def no_row(self): return self.without(b"D")
    def nulls(self): return self.rows(lambda v: [None] * len(v))
    def words(self): return self.rows(lambda v: [b"abc"] * len(v))
    def empty_values(self): return self.rows(lambda v: [b""] * len(v))
    def numbers(self): return self.rows(lambda v: [b"99999999999999999999999"] * len(v))
    def negative(self): return self.rows(lambda v: [b"-1"] * len(v))
    def ones(self): return self.rows(lambda v: [b"1"] * len(v))
    def zero_bytes(self): return self.rows(lambda v: [b"t\0t"] * len(v))
    def short_rows(self): return self.rows(lambda v: v[:-1])
    def long_rows(self): return self.rows(lambda v: v + [b"1"])
    def no_values(self): return self.rows(lambda v: [])
    def twice(self): return b"".join(msg(k, b) * (2 if k == b"D" else 1) for k, b in self.real)
    def no_description(self): return self.without(b"T")
    def description_alone(self): return self.without(b"D", b"C")
    def fewer_columns(self): return description(1) + row([b"1"]) + msg(b"C", b"SELECT 1\0") + READY
    def more_columns(self): return description(40) + row([b"1"] * 40) + msg(b"C", b"SELECT 1\0") + READY
    def no_columns(self): return description(0) + row([]) + msg(b"C", b"SELECT 1\0") + READY
    def binary(self): return description(self.columns(), 1) + self.without(b"T")
    def two_results(self): return (self.without(b"Z", b"1", b"2")) * 2 + READY

    # another kind of answer
    def nothing(self): return READY
    def command(self): return msg(b"C", b"SELECT 1\0") + READY
    def empty_query(self): return msg(b"I") + READY
    def copy_in(self): return msg(b"G", b"\0\0\0")
    def copy_both(self): return msg(b"W", b"\0\0\0")
    def copy_out(self): return msg(b"H", b"\0\0\0") + msg(b"d", b"1\n") + msg(b"c") + msg(b"C", b"COPY 1\0") + READY
    def authentication(self): return msg(b"R", struct.pack("!I", 3)) + READY
    def unknown(self): return msg(b"\x7f", b"what") + READY
    def negative_length(self): return b"D" + struct.pack("!i", -5) + READY
    def long_length(self): return b"T" + struct.pack("!i", 0x7ffffff0) + b"x"

    # a COPY that is not whole
    def no_beginning(self): return self.without(b"H", b"d", b"c")
    def no_end(self): return self.without(b"c", b"C")
    def no_count(self): return self.without(b"C", b"Z") + msg(b"C", b"COPY\0") + READY
    def no_command(self): return self.without(b"C")

    # errors
    def error_without_fields(self): return error() + READY
    def error_without_end(self): return msg(b"E", b"SERROR") + READY
    def error_of_control(self): return error(b"ERROR", b"XX000", b"\x1b]0;owned\x07\x1b[2Jred \xff\xc2\x9b31m\nasofs: all is well") + READY
    def error_that_is_long(self): return error(b"ERROR", b"XX000", b"long " * 5000) + READY
    def fatal(self): yield error(b"FATAL", b"57P01", b"terminating connection"); raise EOFError
    def fatal_in_the_middle(self): yield self.raw[:len(self.raw) // 2]; yield error(b"FATAL", b"57P01", b"no more"); raise EOFError

    # the end, and none
    def closed(self): raise EOFError
    def closed_in_the_middle(self): yield self.raw[:len(self.raw) // 2]; raise EOFError
    def not_ready(self): return self.without(b"Z")
    def silent(self): return b""
    def trickle(self): return slowly(self.raw)
    def trickle_of_notices(self): return slowly(msg(b"N", b"SNOTICE\0Mnow\0\0") * 1000)

    # floods
    def flood_of_rows(self): return self.ahead(endless(row([CHUNK] * self.columns())))
    def flood_of_empty_rows(self): return self.ahead(endless(row([None] * self.columns()) * 500))
    def flood_of_notices(self): return self.ahead(endless(msg(b"N", b"SNOTICE\0M" + CHUNK + b"\0\0")))
    def flood_of_settings(self): return self.ahead(msg(b"S", b"k%d\0" % i + CHUNK + b"\0") for i in range(1 << 30))
    def flood_of_notifications(self): return self.ahead(endless(msg(b"A", struct.pack("!I", 1) + b"c\0" + CHUNK + b"\0")))
    def flood_of_commands(self): return self.ahead(endless(msg(b"C", b"SET\0") * 500))
    def huge_value(self):
        head = b"D" + struct.pack("!IHI", 0x3ffffff0, self.columns(), 0x3fffff00)
        return self.ahead(iter([head] + [CHUNK] * (1 << 17)))

    # the beginning of a connection
    def nonsense(self): return b"HTTP/1.1 400 Bad Request\r\n\r\n"
    def no_version(self): return msg(b"R", b"\0" * 4) + msg(b"K", b"\0" * 8) + READY
    def wrong_version(self): return msg(b"R", b"\0" * 4) + msg(b"S", b"server_version\0abc\0") + READY
    def no_way_in(self): return msg(b"R", struct.pack("!I", 10) + b"NONE\0\0")
    def flood_at_the_start(self): return endless(msg(b"R", b"\0" * 4) + msg(b"N", b"SNOTICE\0M" + CHUNK + b"\0\0"))


class Session:
    def __init__(self, client, upstream, place, oddity):
        self.client, self.upstream, self.place, self.oddity = client, upstream, place, oddity
        self.server, self.application = None, ""

    def send(self, answer):
        if isinstance(answer, bytes):
            self.client.sendall(answer)
            return
        for piece in answer:
            self.client.sendall(piece)

    def pass_answer(self):
        messages = []
        while True:
            messages.append(read_message(self.server))
            if messages[-1][0] in b"ZG":
                return messages

    def start(self):
        while True:
            size = struct.unpack("!I", read_exactly(self.client, 4))[0]
            body = read_exactly(self.client, size - 4)
            code = struct.unpack("!I", body[:4])[0]
            if code not in (80877103, 80877104):
                break
            self.client.sendall(b"N")
        if code == 80877102:  # a request to cancel is never answered, and its connection stays open
            time.sleep(600)
        names = body[4:].split(b"\0")
        self.application = dict(zip(names[::2], names[1::2])).get(b"application_name", b"").decode()
        if self.place == "start":
            print(f"{self.place}:{self.oddity}", flush=True)
            self.send(Odd(self.oddity, [(b"R", b"\0" * 4)]).make())
            return
        self.server = socket.socket(socket.AF_UNIX)
        self.server.connect(self.upstream)
        self.server.sendall(struct.pack("!I", size) + body)
        self.send(b"".join(msg(k, b) for k, b in self.pass_answer()))

    def is_there(self, requests):
        pattern, application = PLACES[self.place]
        text = [b for k, b in requests if k in b"QP"]
        text = text[0].split(b"\0")[1 if requests[0][0] == b"P" else 0].decode() if text else ""
        return re.search(pattern, text) and self.application.startswith(application)

    def serve(self):
        while True:
            requests = [read_message(self.client)]
            while requests[-1][0] not in b"QSX":
                requests.append(read_message(self.client))
            if self.server is None:
                continue
            self.server.sendall(b"".join(msg(k, b) for k, b in requests))
            answer = self.pass_answer()
            if self.is_there(requests):
                print(f"{self.place}:{self.oddity}", flush=True)
                self.send(Odd(self.oddity, answer).make())
            else:
                self.send(b"".join(msg(k, b) for k, b in answer))

    def run(self):
        try:
            self.start()
            self.serve()
        except (EOFError, OSError, struct.error):
            pass
        finally:
            self.client.close()
            if self.server:
                self.server.close()


def listen(upstream, folder, name):
    place, oddity = name.split(":")
    os.mkdir(os.path.join(folder, name), 0o755)
    path = os.path.join(folder, name, ".s.PGSQL.5432")
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    os.chmod(path, 0o777)
    s.listen(16)

    def accept():
        while True:
            threading.Thread(target=Session(s.accept()[0], upstream, place, oddity).run, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def main():
    upstream, folder = sys.argv[1:3]
    for name in sys.argv[3:]:
        listen(upstream, folder, name)
    print("ready", flush=True)
    sys.stdin.read()


main()
