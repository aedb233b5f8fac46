"""Fills the directory named first with the files that file_calls.py works on."""
import os
import sys

os.chdir(sys.argv[1])
PAGE = 8192


def make(path, size):
    with open(path, 'wb') as f:
        f.write((path.encode() + b':%d;' * 3 % (size, size * 7, size * 13)) * (size // 8 + 1))
        f.truncate(size)
    os.chmod(path, 0o600)


os.umask(0o027)
os.mkdir('sub')
os.mkdir('sub/deep')
for name, size in (('plain', 3 * PAGE), ('odd', 4 * PAGE + 1234), ('large', 20 * PAGE + 77), ('tail', PAGE + 5),
                   ('zero', 0), ('untouched', 40 * PAGE), ('mapped', 6 * PAGE + 3000), ('twin', 2 * PAGE),
                   ('sub/one', 1), ('sub/deep/page', PAGE), ('sub/ odd name\t"\\', 100), ('big', 24 << 20)):
    make(name, size)
os.link('twin', 'twin.2')
os.symlink('plain', 'link')
with open('holes', 'wb') as f:
    f.truncate(50 * PAGE + 99)
    for page in 7, 8, 23, 49:
        f.seek(page * PAGE + page)
        f.write(b'between the holes')
for name in ('postgresql.conf', 'postgresql.auto.conf', 'pg_hba.conf', 'pg_ident.conf', 'postmaster.pid',
             'postmaster.opts', 'recovery.signal', 'standby.signal', 'promote', 'tablespace_map', 'sub/pg_hba.conf'):
    make(name, 50)
