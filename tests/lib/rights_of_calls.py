#!/usr/bin/env python3
"""Reads what `strace -f -y` wrote and tells with whose rights files below some directories were used.

usage: rights_of_calls.py TRACE UID DIR...

UID is who everything below each DIR must be done as: the user for files (fsuid) of each thread is followed through the calls
that change it. Prints every call that was done as somebody else, and at the end how many there were at all. What root does to
the two entries of the directory of a private server (see replay/serverdir.c) is its own business.
"""
import os
import re
import sys

LINE = re.compile(r"^(\d+) +(.*)$")
CALL = re.compile(r"^(\w+)\((.*)\) += +(-?\d+|\?|0x[0-9a-f]+)(.*)$", re.S)
# Where the paths stand among the arguments: (directory or None, path); a descriptor alone is (n, None).
PATHS = {
    "open": [(None, 0)], "creat": [(None, 0)], "openat": [(0, 1)], "openat2": [(0, 1)], "unlink": [(None, 0)],
    "unlinkat": [(0, 1)], "rmdir": [(None, 0)], "mkdir": [(None, 0)], "mkdirat": [(0, 1)], "mknod": [(None, 0)],
    "mknodat": [(0, 1)], "chmod": [(None, 0)], "fchmod": [(0, None)], "fchmodat": [(0, 1)], "fchmodat2": [(0, 1)],
    "chown": [(None, 0)], "lchown": [(None, 0)], "fchown": [(0, None)], "fchownat": [(0, 1)], "truncate": [(None, 0)],
    "rename": [(None, 0), (None, 1)], "renameat": [(0, 1), (2, 3)], "renameat2": [(0, 1), (2, 3)],
    "link": [(None, 0), (None, 1)], "linkat": [(0, 1), (2, 3)], "symlink": [(None, 1)], "symlinkat": [(1, 2)],
    "utimensat": [(0, 1)], "setxattr": [(None, 0)],
}
OWN = re.compile(r"^/tmp/asofs-\w{6}/(data|server)$")
SERVER = re.compile(r"^/tmp/asofs-\w{6}/(data|server)/")
STARTS = ("clone", "clone3", "fork", "vfork")


def arguments(text):
    """Split at the commas that are neither in quotes nor in brackets."""
    parts, depth, quoted, start, i = [], 0, False, 0, 0
    while i < len(text):
        c = text[i]
        if quoted:
            i += c == "\\"
            quoted = c != '"'
        elif c == '"':
            quoted = True
        elif c in "([{<":
            depth += 1
        elif c in ")]}>":
            depth -= 1
        elif c == "," and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
        i += 1
    return parts + [text[start:].strip()]


def whole_lines(lines):
    """Calls that another thread cut in two are put together, where they end. Yields pid, text, and whether it only begins."""
    begun = {}
    for line in lines:
        m = LINE.match(line.rstrip("\n"))
        if not m:
            continue
        pid, text = int(m[1]), m[2]
        if text.endswith("<unfinished ...>"):
            begun[pid] = text[: -len("<unfinished ...>")]
            yield pid, begun[pid], True
        elif text.startswith("<... ") and pid in begun:
            yield pid, begun.pop(pid) + text.split(" resumed>", 1)[1], False
        else:
            yield pid, text, False


def path_of(args, where):
    directory, name = where
    if name is None:
        m = re.match(r"^\d+<([^>]*)>", args[directory])
        return m[1] if m else None
    m = re.match(r'^"((?:[^"\\]|\\.)*)"', args[name])
    if not m:
        return None
    path = m[1].encode().decode("unicode_escape")
    if not path.startswith("/"):
        m = re.match(r"^(?:AT_FDCWD|\d+)<([^>]*)>", args[directory]) if directory is not None else None
        path = os.path.join(m[1] if m else "/unknown", path)
    return os.path.normpath(re.sub(r" \(deleted\)$", "", path))


class Ids:
    def __init__(self, real, effective, saved, files):
        self.real, self.effective, self.saved, self.files = real, effective, saved, files

    def copy(self):
        return Ids(self.real, self.effective, self.saved, self.files)

    def change(self, name, args, ok):
        """What the call does to the ids; setfsuid never says that it failed."""
        ids = [int(a) for a in args if re.match(r"^-?\d+$", a)]
        if name == "setfsuid":
            if ids[0] != -1 and (self.effective == 0 or ids[0] in (self.real, self.effective, self.saved, self.files)):
                self.files = ids[0]
        elif not ok:
            pass
        elif name == "setresuid":
            self.real, self.effective, self.saved = (
                old if new == -1 else new for new, old in zip(ids, (self.real, self.effective, self.saved)))
            self.files = self.effective
        elif name == "setreuid":
            self.real, self.effective = (old if new == -1 else new for new, old in zip(ids, (self.real, self.effective)))
            self.files = self.effective
        elif name == "setuid":
            if self.effective == 0:
                self.real = self.saved = ids[0]
            self.effective = self.files = ids[0]
        elif name == "execve":
            self.files = self.saved = self.effective


class Trace:
    def __init__(self, uid, dirs):
        self.uid, self.dirs, self.ids, self.started = uid, dirs, {}, []
        self.calls = self.wrong = 0

    def ids_of(self, pid):
        """A thread that was not seen before has those that the one had that last began to start one, and has not been told its
        number yet."""
        if pid not in self.ids:
            self.ids[pid] = self.started.pop(0)[1].copy() if self.started else Ids(0, 0, 0, 0)
        return self.ids[pid]

    def guarded(self, path):
        return not OWN.match(path) and (SERVER.match(path) or any(path.startswith(d + "/") for d in self.dirs))

    def check(self, pid, name, args, text):
        for where in PATHS[name]:
            path = path_of(args, where)
            if path and self.guarded(path):
                self.calls += 1
                if self.ids_of(pid).files != self.uid:
                    self.wrong += 1
                    print(f"{pid} as {self.ids_of(pid).files}: {text}")
                return

    def start(self, pid, text, begins):
        """The new thread may be heard of before, or after, the call that starts it has returned its number."""
        if begins:
            self.started.append((pid, self.ids_of(pid).copy()))
            return
        m = CALL.match(text)
        child = int(m[3]) if m and m[3].isdigit() else 0
        mine = [s for s in self.started if s[0] == pid]
        if mine and child not in self.ids:
            self.started.remove(mine[0])
        if child > 0 and child not in self.ids:
            self.ids[child] = (mine[0][1] if mine else self.ids_of(pid)).copy()

    def read(self, lines):
        for pid, text, begins in whole_lines(lines):
            name = text.split("(", 1)[0]
            if name in STARTS:
                self.start(pid, text, begins)
            m = CALL.match(text)
            if begins or not m:
                continue
            args, ok = arguments(m[2]), not m[3].startswith("-")
            if name in ("setfsuid", "setresuid", "setreuid", "setuid", "execve"):
                self.ids_of(pid).change(name, args, ok)
            elif name in PATHS:
                self.check(pid, name, args, text)


def main():
    trace = Trace(int(sys.argv[2]), [os.path.realpath(d) for d in sys.argv[3:]])
    with open(sys.argv[1], errors="replace") as lines:
        trace.read(lines)
    print(f"{trace.calls} calls, {trace.wrong} as somebody else")
    return trace.wrong > 0


sys.exit(main())
