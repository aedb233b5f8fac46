"""Every call on files and directories by hand, below the directory named first; prints what each returned.

Run on a plain directory and on a view with the same contents, the output has to be the same. Further arguments are left
out: links (hard ones), exchange (of names), mapped.
"""
import ctypes
import errno
import fcntl
import mmap
import os
import stat
import sys

os.chdir(sys.argv[1])
without = sys.argv[2:]
os.umask(0o027)
libc = ctypes.CDLL(None, use_errno=True)
PAGE = 8192


def tell(what, call, *args, **more):
    try:
        result = call(*args, **more)
    except OSError as error:
        result = errno.errorcode[error.errno]
    if isinstance(result, bytes) and len(result) > 60:
        result = '%d bytes, %r' % (len(result), hash_of(result))
    print(what, args if what != 'renameat2' else args[:2], '->', result)
    return result


def hash_of(data):
    import hashlib
    return hashlib.md5(data).hexdigest()


def pattern(seed, size):
    return (b'%08d' % seed) * (size // 8 + 1)


def fill(seed, size):
    return pattern(seed, size)[:size]


def look(path):
    s = os.lstat(path)
    size = None if stat.S_ISDIR(s.st_mode) else s.st_size
    links = None if stat.S_ISDIR(s.st_mode) else s.st_nlink
    return oct(s.st_mode), links, size


def content(path):
    with open(path, 'rb') as f:
        return len(f.read()), hash_of(open(path, 'rb').read())


def opened(path, flags, mode=0o600):
    fd = os.open(path, flags, mode)
    os.close(fd)
    return look(path)


def written(path, offset, data, flags=os.O_WRONLY):
    fd = os.open(path, flags, 0o600)
    n = os.pwrite(fd, data, offset)
    os.close(fd)
    return n, content(path)


def renameat2(old, new, flags):
    if libc.renameat2(-100, old.encode(), -100, new.encode(), flags) < 0:
        raise OSError(ctypes.get_errno(), 'renameat2')
    return 0


def fallocate(path, mode, offset, length):
    fd = os.open(path, os.O_RDWR)
    try:
        if libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)) < 0:
            raise OSError(ctypes.get_errno(), 'fallocate')
    finally:
        os.close(fd)
    return look(path), content(path)


def names():
    tell('lstat', look, 'plain')
    tell('lstat', look, 'missing')
    tell('lstat', look, 'missing')
    tell('lstat', look, 'plain/below')
    tell('lstat', look, 'x' * 255)
    tell('lstat', look, 'x' * 256)
    tell('listdir', lambda d: sorted(os.listdir(d)), 'sub')
    tell('mkdir', os.mkdir, 'made', 0o750)
    tell('mkdir', os.mkdir, 'made')
    tell('mkdir', os.mkdir, 'missing/made')
    tell('mkdir', os.mkdir, 'made/deeper')
    tell('rmdir', os.rmdir, 'made')
    tell('rmdir', os.rmdir, 'plain')
    tell('rmdir', os.rmdir, 'made/deeper')
    tell('unlink', os.unlink, 'made')
    tell('unlink', os.unlink, 'missing')
    tell('symlink', os.symlink, '../plain', 'made/link')
    tell('readlink', os.readlink, 'made/link')
    tell('readlink', os.readlink, 'link')
    tell('readlink', os.readlink, 'plain')
    tell('content', content, 'made/link')
    tell('symlink', os.symlink, 'nowhere', 'dangling')
    tell('content', content, 'dangling')
    tell('symlink', os.symlink, 'again', 'dangling')
    tell('mknod', os.mknod, 'node', stat.S_IFREG | 0o640)
    tell('lstat', look, 'node')
    tell('mknod', os.mknod, 'node', stat.S_IFREG | 0o640)
    tell('unlink', os.unlink, 'node')
    tell('lstat', look, 'node')
    tell('open', opened, 'new', os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    tell('open', opened, 'new', os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    tell('open', opened, 'new', os.O_WRONLY | os.O_CREAT)
    tell('open', opened, 'sub', os.O_WRONLY)
    tell('open', opened, 'plain', os.O_DIRECTORY)
    tell('open', opened, 'plain', os.O_WRONLY | os.O_TRUNC)
    tell('open', opened, 'y' * 256, os.O_WRONLY | os.O_CREAT)
    for name in sorted(os.listdir('sub')):
        tell('lstat', look, 'sub/' + name)
    tell('listdir', lambda d: sorted(os.listdir(d)), '.')


def renames():
    for name in 'a', 'b', 'c':
        tell('written', written, 'made/' + name, 0, fill(ord(name), 20000), os.O_WRONLY | os.O_CREAT)
    tell('rename', os.rename, 'made/a', 'made/A')
    tell('lstat', look, 'made/a')
    tell('rename', os.rename, 'made/A', 'made/b')
    tell('content', content, 'made/b')
    tell('rename', os.rename, 'odd', 'sub/odd')
    tell('rename', os.rename, 'sub', 'made/sub')
    tell('listdir', lambda d: sorted(os.listdir(d)), 'made/sub')
    tell('content', content, 'made/sub/odd')
    tell('rename', os.rename, 'made', 'made/sub/made')
    tell('rename', os.rename, 'made/sub', 'plain')
    tell('rename', os.rename, 'plain', 'made/sub')
    tell('rename', os.rename, 'missing', 'made/x')
    tell('rename', os.rename, 'made/sub', 'sub')
    tell('mkdir', os.mkdir, 'empty.d')
    tell('mkdir', os.mkdir, 'full.d')
    tell('mkdir', os.mkdir, 'full.d/x')
    tell('rename', os.rename, 'empty.d', 'full.d')
    tell('rename', os.rename, 'full.d', 'empty.d')
    tell('renameat2', renameat2, 'made/b', 'made/c', 1)
    tell('renameat2', renameat2, 'made/b', 'made/d', 1)
    if 'exchange' not in without:
        tell('renameat2', renameat2, 'made/c', 'made/d', 2)
        tell('renameat2', renameat2, 'made/c', 'made/none', 2)
        tell('renameat2', renameat2, 'made/c', 'empty.d', 2)
    tell('lstat', look, 'made/c')
    tell('lstat', look, 'empty.d')
    tell('content', content, 'made/d')
    if 'links' not in without:
        tell('link', os.link, 'made/d', 'made/e')
    tell('rename', os.rename, 'made/d', 'made/e')
    tell('lstat', look, 'made/d')
    tell('lstat', look, 'made/e')


def links():
    tell('link', os.link, 'holes', 'sub/holes.2')
    tell('lstat', look, 'holes')
    tell('link', os.link, 'holes', 'sub/holes.2')
    tell('link', os.link, 'sub', 'sub.2')
    tell('link', os.link, 'missing', 'x')
    tell('written', written, 'sub/holes.2', 3 * PAGE + 5, b'through the other name')
    tell('content', content, 'holes')
    tell('unlink', os.unlink, 'holes')
    tell('lstat', look, 'sub/holes.2')
    tell('rename', os.rename, 'sub/holes.2', 'holes')
    tell('lstat', look, 'twin')
    tell('written', written, 'twin', 10, b'both')
    tell('content', content, 'twin.2')
    tell('unlink', os.unlink, 'twin')
    tell('lstat', look, 'twin.2')


def sizes():
    tell('truncate', os.truncate, 'large', 5 * PAGE + 100)
    tell('content', content, 'large')
    tell('truncate', os.truncate, 'large', 9 * PAGE + 1)
    tell('content', content, 'large')
    tell('written', written, 'large', 30 * PAGE - 3, b'over the edge')
    tell('written', written, 'tail', 0, b'x')
    tell('written', written, 'tail', PAGE * 3 + 17, b'behind the odd end')
    tell('truncate', os.truncate, 'tail', PAGE + 1)
    tell('truncate', os.truncate, 'tail', PAGE * 2)
    tell('content', content, 'tail')
    tell('truncate', os.truncate, 'tail', 0)
    tell('truncate', os.truncate, 'tail', 12345)
    tell('content', content, 'tail')
    tell('truncate', os.truncate, 'missing', 1)
    tell('truncate', os.truncate, 'sub', 1)
    tell('written', written, 'zero', 100, b'was empty')
    tell('open', opened, 'zero', os.O_RDWR | os.O_TRUNC)
    fd = os.open('far', os.O_RDWR | os.O_CREAT, 0o600)
    tell('pwrite', lambda: os.pwrite(fd, b'far', (1 << 33) + 5))
    tell('pread', lambda: os.pread(fd, 100, (1 << 33) - 50))
    tell('pread', lambda: os.pread(fd, 100, (1 << 33) + 8))
    os.close(fd)
    tell('truncate', os.truncate, 'far', 3)


def allocations():
    tell('fallocate', fallocate, 'plain', 0, 0, 3 * PAGE + 9)
    tell('fallocate', fallocate, 'plain', 1, 0, 30 * PAGE)
    tell('fallocate', fallocate, 'plain', 0, 100, 100)
    tell('fallocate', fallocate, 'plain', 0, 0, 0)
    tell('fallocate', fallocate, 'large', 0, 29 * PAGE, 4 * PAGE)
    tell('posix_fallocate', lambda: posix_fallocate('large', 0, 50 * PAGE))


def posix_fallocate(path, offset, length):
    fd = os.open(path, os.O_RDWR)
    os.posix_fallocate(fd, offset, length)
    os.close(fd)
    return look(path)


def open_files():
    fd = os.open('gone', os.O_RDWR | os.O_CREAT, 0o600)
    base = os.open('untouched', os.O_RDWR)
    tell('write', lambda: os.write(fd, fill(7, 70000)))
    tell('unlink', os.unlink, 'gone')
    tell('unlink', os.unlink, 'untouched')
    tell('lstat', look, 'gone')
    tell('pread', lambda: os.pread(fd, 65000, 3000))
    tell('pread', lambda: os.pread(base, 65000, 3000))
    tell('pwrite', lambda: os.pwrite(base, b'still there', 9999))
    tell('pread', lambda: os.pread(base, 65000, 3000))
    tell('ftruncate', lambda: os.ftruncate(fd, 100))
    tell('fstat', lambda: (os.fstat(fd).st_size, os.fstat(fd).st_nlink))
    tell('fchmod', lambda: os.fchmod(fd, 0o640))
    tell('fsync', lambda: os.fsync(fd))
    os.close(fd)
    os.close(base)
    directory = os.open('sub', os.O_RDONLY | os.O_DIRECTORY)
    tell('fsync', lambda: os.fsync(directory))
    os.close(directory)
    one = os.open('log', os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    two = os.open('log', os.O_WRONLY | os.O_APPEND)
    for i in range(2000):
        os.write(one if i % 2 else two, b'line %d\n' % i)
    tell('content', content, 'log')
    os.ftruncate(two, 5)
    os.write(one, b'after')
    tell('content', content, 'log')
    os.close(one)
    os.close(two)


def mapped():
    fd = os.open('mapped', os.O_RDWR)
    shared = mmap.mmap(fd, 0)
    shared[10:20] = b'0123456789'
    shared[PAGE * 2 - 3:PAGE * 2 + 3] = b'border'
    shared[-4:] = b'last'
    shared.flush()
    tell('pread', lambda: os.pread(fd, PAGE * 3, 0))
    os.pwrite(fd, b'by write', 100)
    tell('map', lambda: shared[100:108])
    shared[5:6] = b'!'
    shared.close()
    os.close(fd)
    tell('content', content, 'mapped')


def locks():
    one = os.open('plain', os.O_RDWR)
    two = os.open('plain', os.O_RDWR)
    tell('flock', lambda: fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB))
    tell('flock', lambda: fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB))
    tell('lockf', lambda: fcntl.lockf(one, fcntl.LOCK_EX | fcntl.LOCK_NB, 10))
    child = os.fork()
    if child == 0:
        try:
            fcntl.lockf(os.open('plain', os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB, 10)
            os._exit(1)
        except OSError:
            os._exit(0)
    tell('lockf in another process', lambda: os.waitpid(child, 0)[1])
    os.close(one)
    os.close(two)


def attributes():
    tell('chmod', os.chmod, 'plain', 0o640)
    tell('lstat', look, 'plain')
    tell('chmod', os.chmod, 'sub', 0o711)
    tell('lstat', look, 'sub')
    for path in 'plain', 'sub', 'new', 'holes':
        tell('utime', os.utime, path, ns=(10**18, 1234567890123456789))
        tell('stat', lambda path: os.stat(path).st_mtime_ns, path)
    tell('utime', os.utime, 'link', follow_symlinks=False, ns=(10**18, 10**18 + 5))
    tell('stat', lambda path: os.lstat(path).st_mtime_ns, 'link')
    before = os.stat('new').st_mtime_ns
    os.close(os.open('new', os.O_WRONLY))
    tell('mtime stays', lambda: os.stat('new').st_mtime_ns == before)
    written('new', 0, b'x')
    tell('mtime moves', lambda: os.stat('new').st_mtime_ns > before)
    tell('chmod', os.chmod, 'missing', 0o640)


for part in names, renames, links, sizes, allocations, open_files, mapped, locks, attributes:
    if part.__name__ not in without:
        print('==', part.__name__)
        part()
