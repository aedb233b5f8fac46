"""read_anywhere.py WHOLES VIEW READS: reads at random places of the files in VIEW, by 4 processes at once, are those parts of the files
of the same names in WHOLES. All but one go past the kernel's cache: who serves VIEW is asked for just these bytes."""
import os, random, sys

READERS = 4
LONGEST = 128 << 10


def choose_size(r):
    """Small ones mostly, which take less time; up to all that one request can ask for."""
    return r.randint(1, r.choice((16, 300, 300, 300, 300, 300, 5000, 5000, LONGEST if r.random() < 0.1 else 300)))


def choose_offset(r, length, size):
    """One in ten at the end, or beyond it."""
    return max(0, length - r.randint(-10, 2 * size)) if r.random() < 0.1 else r.randrange(length)


def read_anywhere(wholes, fds, reads, seed):
    r = random.Random(seed)
    names = sorted(wholes)
    large = [n for n in names if len(wholes[n]) > 1000]
    room = memoryview(bytearray(LONGEST))
    for _ in range(reads):
        name = r.choice(large if r.random() < 0.9 else names)
        whole = wholes[name]
        size = choose_size(r)
        offset = choose_offset(r, len(whole), size)
        got = os.preadv(fds[name], [room[:size]], offset)
        if room[:got] != whole[offset:offset + size]:
            sys.exit(f'{name}: {size} bytes from {offset} on are not those of the whole, {got} came')


def main():
    wholes_dir, view, reads = sys.argv[1:]
    names = [n for n in os.listdir(wholes_dir) if os.path.getsize(f'{wholes_dir}/{n}')]
    wholes = {n: open(f'{wholes_dir}/{n}', 'rb').read() for n in names}
    children = []
    for seed in range(READERS):
        pid = os.fork()
        if pid == 0:
            fds = {n: os.open(f'{view}/{n}', os.O_RDONLY | (os.O_DIRECT if seed else 0)) for n in names}
            read_anywhere(wholes, fds, int(reads) // READERS, seed)
            os._exit(0)
        children.append(pid)
    if any([os.waitpid(pid, 0)[1] for pid in children]):
        sys.exit(1)
    print(f'{reads} reads of {len(names)} files')


main()
