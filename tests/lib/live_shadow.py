#!/usr/bin/env python3
"""live_shadow.py MOUNT SEED STEPS FILE: random calls on files below MOUNT/base/shadow, and the same in memory; freezes
meanwhile. Every read has to agree, and in the end every frozen tree with what was in memory when it was made: what that
is goes to FILE.
live_shadow.py MOUNT FILE [NUMBER]...: they still agree, but those with these numbers, which are gone."""
import errno
import hashlib
import json
import mmap
import os
import random
import sys

PAGE = 8192
MOST = 40 * PAGE
NAMES = ['a', 'b', 'c', 'd/e', 'd/f']
CONTROL = '.asofs/frozen'


def fail(*what):
    print('FAILED:', *what)
    sys.exit(1)


def sums_of(files):
    return {name: '%d %s' % (len(data), hashlib.md5(data).hexdigest()) for name, data in files.items()}


def read_tree(top):
    files = {}
    for at, _, names in os.walk(top):
        for name in names:
            fd = os.open(os.path.join(at, name), os.O_RDONLY | os.O_DIRECT)  # past what the kernel keeps
            parts = []
            while part := os.pread(fd, 1 << 20, sum(map(len, parts))):
                parts.append(part)
            os.close(fd)
            files[os.path.relpath(os.path.join(at, name), top)] = b''.join(parts)
    return files


def check_trees(mount, trees, gone=()):
    for number, sums in trees.items():
        if number in gone:
            continue
        found = sums_of(read_tree(os.path.join(mount, CONTROL, number, 'base/shadow')))
        if found != sums:
            differ = [n for n in set(found) | set(sums) if found.get(n) != sums.get(n)]
            fail('tree', number, 'is not what was frozen:', *('%s %s, not %s' % (n, found.get(n), sums.get(n)) for n in differ))


class Shadow:
    def __init__(self, mount, seed):
        self.mount, self.random = mount, random.Random(seed)
        self.top = os.path.join(mount, 'base/shadow')
        os.makedirs(os.path.join(self.top, 'd'))
        self.files = {}    # name: contents
        self.handles = []  # descriptor, contents: those without a name, too
        self.trees = {}

    def path(self, name):
        return os.path.join(self.top, name)

    def bytes(self, most=3 * PAGE):
        return self.random.randbytes(self.random.choice([1, 100, PAGE, most, self.random.randrange(1, most)]))

    def place(self):
        at = self.random.randrange(MOST)
        return at if self.random.random() < 0.5 else at // PAGE * PAGE

    # An open file and its contents: one that is kept open, or one more of a name.
    def some_file(self, flags=0):
        if self.handles and self.random.random() < 0.4:
            return self.random.choice(self.handles)
        name = self.random.choice(NAMES)
        fd = os.open(self.path(name), os.O_RDWR | os.O_CREAT | flags, 0o600)
        data = self.files.setdefault(name, bytearray())
        self.handles.append((fd, data))
        if len(self.handles) > 12:
            os.close(self.handles.pop(0)[0])
        return fd, data

    def put(self, data, at, some):
        if at > len(data):
            data.extend(bytes(at - len(data)))
        data[at:at + len(some)] = some

    def write(self):
        fd, data = self.some_file(self.random.choice([0, 0, os.O_DSYNC]))
        at, some = self.place(), self.bytes()
        if os.pwrite(fd, some, at) != len(some):
            fail('a short write')
        self.put(data, at, some)

    def append(self):
        name, some = self.random.choice(NAMES), self.bytes()
        data = self.files.setdefault(name, bytearray())
        if len(data) > MOST:
            return
        fd = os.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(fd, some)
        os.close(fd)
        self.put(data, len(data), some)

    def truncate(self):
        fd, data = self.some_file()
        size = self.random.choice([0, 0, self.place(), len(data) // 2])
        os.ftruncate(fd, size)
        self.put(data, size, b'')
        del data[size:]

    def empty(self):  # by opening it
        name = self.random.choice(NAMES)
        os.close(os.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        del self.files.setdefault(name, bytearray())[:]

    def allocate(self):
        fd, data = self.some_file()
        at, size = self.place(), self.random.randrange(1, 5 * PAGE)
        os.posix_fallocate(fd, at, size)
        self.put(data, max(at + size, len(data)), b'')

    def map(self):
        fd, data = self.some_file()
        if not data:
            return
        shared = mmap.mmap(fd, len(data))
        at = self.random.randrange(len(data))
        some = self.bytes()[:len(data) - at]
        shared[at:at + len(some)] = some
        shared.flush()
        shared.close()
        self.put(data, at, some)

    def rename(self):
        old, new = self.random.sample(NAMES, 2)
        if old not in self.files:
            return
        os.rename(self.path(old), self.path(new))
        self.files[new] = self.files.pop(old)

    def unlink(self):
        name = self.random.choice(NAMES)
        try:
            os.unlink(self.path(name))
        except OSError as error:
            if error.errno != errno.ENOENT or name in self.files:
                fail('unlink', name, error)
        self.files.pop(name, None)

    def read(self):
        fd, data = self.some_file()
        at, size = self.place(), self.random.randrange(1, 6 * PAGE)
        if os.fstat(fd).st_size != len(data) or os.pread(fd, size, at) != bytes(data[at:at + size]):
            fail('a read of', size, 'bytes at', at, 'of', len(data))

    def freeze(self):
        numbers = [int(n) for n in os.listdir(os.path.join(self.mount, CONTROL))]
        number = str(max(numbers, default=0) + 1)
        os.mkdir(os.path.join(self.mount, CONTROL, number))
        self.trees[number] = sums_of(self.files)
        if self.random.random() < 0.3:  # one that is read while it is still to change
            some = self.random.choice(list(self.trees))
            check_trees(self.mount, {some: self.trees[some]})

    def run(self, steps):
        calls = [self.write] * 6 + [self.read] * 4 + [self.append, self.truncate, self.empty, self.allocate, self.map,
                                                      self.rename, self.unlink]
        for step in range(steps):
            if step % (steps // 25) == 0:
                self.freeze()
            self.random.choice(calls)()
        if sums_of(read_tree(self.top)) != sums_of(self.files):
            fail('the files are not what was written')
        check_trees(self.mount, self.trees)


if sys.argv[2].isdigit():
    shadow = Shadow(sys.argv[1], int(sys.argv[2]))
    shadow.run(int(sys.argv[3]))
    with open(sys.argv[4], 'w') as f:
        json.dump(shadow.trees, f)
else:
    with open(sys.argv[2]) as f:
        check_trees(sys.argv[1], json.load(f), sys.argv[3:])
