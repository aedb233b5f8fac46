"""Threads that read and write one file at the same time, each its own parts; every byte read is checked.

usage: many_writers.py FILE SEED
"""
import os
import random
import sys
import threading

path, seed = sys.argv[1], int(sys.argv[2])
THREADS, OPERATIONS, PAGE = 8, 400, 8192
want = bytearray(open(path, 'rb').read())
parts = len(want) // PAGE // THREADS * PAGE
wrong = []


def work(number):
    dice = random.Random(seed * 100 + number)
    fd = os.open(path, os.O_RDWR)
    low, high = number * parts, (number + 1) * parts
    for _ in range(OPERATIONS):
        offset = dice.randrange(low, high)
        size = min(high - offset, dice.choice((1, 100, PAGE, PAGE, 5 * PAGE, 130000)))
        if dice.random() < 0.5:
            offset -= offset % PAGE
        if dice.random() < 0.4:
            data = dice.randbytes(size)
            want[offset:offset + size] = data
            if os.pwrite(fd, data, offset) != size:
                wrong.append(('short write', offset, size))
        elif os.pread(fd, size, offset) != want[offset:offset + size]:
            wrong.append((number, offset, size))
    os.close(fd)


threads = [threading.Thread(target=work, args=(i,)) for i in range(THREADS)]
[t.start() for t in threads]
[t.join() for t in threads]
if not wrong and open(path, 'rb').read() != want:
    wrong.append('the whole')
sys.exit('reads give something else: %s' % wrong[:3] if wrong else 0)
