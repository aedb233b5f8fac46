#!/usr/bin/env python3
"""Damages one row or page of a relation's file, in a way that a disk or a bug could.

usage: damage.py FILE BLOCK ITEM WHAT [--checksum]

ITEM is from 1 on. The rows have an int4 and then the value that is damaged; with --checksum the page gets the checksum that
belongs to the damage, but for "byte". Blocks of 8 KiB, little-endian (bufpage.h, htup_details.h, varatt.h).
"""
import struct
import sys

BLOCK = 8192
PRIME = 16777619
SEEDS = (
    0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C, 0xF8D4474F, 0xE39EB970,
    0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB, 0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE,
    0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4, 0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE,
    0xF2CA9FD3, 0x959BD756)


def checksum(page, block):
    """checksum_impl.h: 32 sums of FNV-1a, the field itself taken as 0."""
    sums = list(SEEDS)
    words = struct.unpack("<2048I", page[:8] + b"\0\0" + page[10:])

    def mix(lane, word):
        x = sums[lane] ^ word
        sums[lane] = (x * PRIME & 0xFFFFFFFF) ^ (x >> 17)

    for i, word in enumerate(words):
        mix(i % 32, word)
    for _ in range(2):
        for lane in range(32):
            mix(lane, 0)
    result = 0
    for s in sums:
        result ^= s
    return (result ^ block) % 65535 + 1


class Row:
    def __init__(self, page, item):
        self.page, self.pointer = page, 20 + 4 * item
        word = struct.unpack_from("<I", page, self.pointer)[0]
        assert word >> 15 & 3 == 1, "no row there"
        self.at, self.len = word & 0x7FFF, word >> 17
        self.value = self.at + page[self.at + 22] + 4

    def set_pointer(self, at, flags, length):
        struct.pack_into("<I", self.page, self.pointer, at | flags << 15 | length << 17)

    def put(self, at, fmt, *values):
        struct.pack_into("<" + fmt, self.page, at, *values)

    def varlena(self):
        """Where the bytes behind the header are."""
        return self.value + (1 if self.page[self.value] & 1 else 4)


DAMAGES = {
    "header": lambda r: r.put(14, "H", 3),  # pd_upper, in front of the line pointers
    "version": lambda r: r.put(18, "H", 8192 | 3),
    "new": lambda r: r.put(14, "H", 0),  # says that it is empty, and is not
    "pointer-off": lambda r: r.set_pointer(r.at + 1, 1, r.len),
    "pointer-beyond": lambda r: r.set_pointer(8184, 1, 4000),
    "pointer-short": lambda r: r.set_pointer(r.at, 1, 8),
    "pointer-dead": lambda r: r.set_pointer(0, 3, 0),
    "hoff": lambda r: r.put(r.at + 22, "B", 248),
    "hoff-odd": lambda r: r.put(r.at + 22, "B", 25),
    "natts": lambda r: r.put(r.at + 18, "H", 0x7FF),
    "bitmap": lambda r: (r.put(r.at + 18, "H", 0x7FF), r.put(r.at + 20, "H", 1 | r.page[r.at + 20] | r.page[r.at + 21] << 8)),
    "xmin-future": lambda r: (r.put(r.at, "I", 0x70000000), r.put(r.at + 20, "H", 0x0802)),
    "multi-future": lambda r: (r.put(r.at + 4, "I", 0x70000000), r.put(r.at + 20, "H", 0x1102)),
    "length-4": lambda r: r.put(r.value, "I", 0x3FFFFFFC),
    "length-0": lambda r: r.put(r.value, "I", 0),
    "length-1": lambda r: r.put(r.value, "B", 0xFF),
    "pointer-tag": lambda r: r.put(r.value, "BB", 1, 77),
    "toast-value": lambda r: r.put(r.value + 10, "I", 77),
    "toast-size": lambda r: r.put(r.value + 6, "I", 0x3FFFFFFF),
    "toast-raw": lambda r: r.put(r.value + 2, "I", 0x7FFFFFFF),
    "chunk-gone": lambda r: r.set_pointer(0, 3, 0),
    "chunk-number": lambda r: r.put(r.value, "I", 77),
    "chunk-length": lambda r: r.put(r.value + 4, "I", 1000 << 2),
    "compressed": lambda r: r.put(r.value + 8, "8B", *[255] * 8),
    "compressed-raw": lambda r: r.put(r.value + 4, "I", 0x3FFFFFFF),
    "method": lambda r: r.put(r.value + 4, "I", 3 << 30 | 1000),
    "digit": lambda r: r.put(r.varlena() + 2, "H", 65535),
    "document": lambda r: r.put(r.varlena(), "I", 0x4FFFFFFF),
    "document-entry": lambda r: r.put(r.varlena() + 4, "I", 0x7FFFFFFF),
    "dimensions": lambda r: r.put(r.varlena(), "I", 77),
    "label": lambda r: r.put(r.value, "I", 77),
    "byte": lambda r: r.put(r.varlena(), "B", r.page[r.varlena()] ^ 1),
}


def main():
    name, block, item, what = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    with open(name, "r+b") as f:
        f.seek(block * BLOCK)
        page = bytearray(f.read(BLOCK))
        had = struct.unpack_from("<H", page, 8)[0]
        assert not had or had == checksum(page, block), "not the checksum that the server has made"
        DAMAGES[what](Row(page, item))
        if "--checksum" in sys.argv and what != "byte":
            struct.pack_into("<H", page, 8, checksum(page, block))
        f.seek(block * BLOCK)
        f.write(page)


main()
