# File handles, as NFS servers and backup programs keep them; needs root.
#
#   handles.py take MOUNT FILE...      prints a line "HANDLE PATH" for each
#   handles.py open MOUNT <LINES       opens each and compares with what its path leads to
#   handles.py stale MOUNT <LINES      each but the root is refused as stale
#   handles.py forged MOUNT <LINES     so is each with a number or a generation that there is not
import ctypes
import errno
import os
import sys

libc = ctypes.CDLL(None, use_errno=True)


class Handle(ctypes.Structure):
    _fields_ = [('size', ctypes.c_uint), ('kind', ctypes.c_int), ('bytes', ctypes.c_ubyte * 128)]


def take(path):
    handle, mount = Handle(128), ctypes.c_int()
    if libc.name_to_handle_at(-100, os.fsencode(path), ctypes.byref(handle), ctypes.byref(mount), 0) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    return handle.kind.to_bytes(4, 'little') + bytes(handle.bytes[:handle.size])


def reopen(mount_fd, raw):
    handle = Handle(len(raw) - 4, int.from_bytes(raw[:4], 'little'), (ctypes.c_ubyte * 128)(*raw[4:]))
    fd = libc.open_by_handle_at(mount_fd, ctypes.byref(handle), os.O_RDONLY)
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return fd


def node(raw):  # FILEID_INO64_GEN: upper half of the number, lower half, generation
    return int.from_bytes(raw[4:8], 'little') << 32 | int.from_bytes(raw[8:12], 'little')


def contents(fd):
    if os.path.isdir(f'/proc/self/fd/{fd}'):
        return sorted(os.listdir(fd))
    return os.read(fd, 1 << 20)


def compare(mount_fd, raw, path):
    fd = reopen(mount_fd, raw)
    way = os.readlink(f'/proc/self/fd/{fd}') # of a directory the kernel has looked for it, by ".."
    other = os.open(path, os.O_RDONLY)
    assert os.fstat(fd).st_ino == os.fstat(other).st_ino, path
    assert contents(fd) == contents(other), path
    assert way == os.path.normpath(path) or not os.path.isdir(path), (way, path)
    os.close(fd)
    os.close(other)


def expect_stale(mount_fd, raw):
    try:
        os.close(reopen(mount_fd, raw))
    except OSError as e:
        assert e.errno in (errno.ESTALE, errno.EIO), e
        return
    sys.exit(f'{raw.hex()} can be opened')


def forge(raw):
    for number in (0, 1 << 31, 0xffffffff, 1 << 32, (1 << 62) - 1, 1 << 62, (1 << 62) + (1 << 31), (1 << 64) - 1):
        yield raw[:4] + (number >> 32).to_bytes(4, 'little') + (number & 0xffffffff).to_bytes(4, 'little') + raw[12:]
    yield raw[:12] + bytes([raw[12] ^ 2]) + raw[13:]


what, mount = sys.argv[1:3]
if what == 'take':
    for name in sys.argv[3:]:
        raw = take(name)
        print(raw.hex(), node(raw), name)
    sys.exit(0)
directory = os.open(mount, os.O_RDONLY)
for line in sys.stdin:
    text, _, name = line.rstrip('\n').split(' ', 2)
    raw = bytes.fromhex(text)
    if what == 'open':
        compare(directory, raw, name)
    elif what == 'stale':
        if node(raw) != 1: # the root is the kernel's own, and the same in every mount
            expect_stale(directory, raw)
    else:
        for other in forge(raw):
            expect_stale(directory, other)
