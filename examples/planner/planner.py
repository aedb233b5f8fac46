#!/usr/bin/env python3
"""A planner that reads a second database with psycopg 3: it plans anew after each copy that
`asofs copy --name=NAME` makes.

usage: planner.py TARGET NAME
"""
import sys

import psycopg


def plan(reader, name, seen):
    """Plan if a copy is current that was not seen yet. The moment of the last plan."""
    with reader.transaction():
        # asofs.view first: from here on the tables are what it says, until the end of the transaction.
        row = reader.execute("SELECT moment FROM asofs.view WHERE name = %s AND state = 'current'", [name]).fetchone()
        if row is None or row[0] == seen:
            return seen
        orders, total = reader.execute("SELECT count(*), sum(total) FROM orders").fetchone()
    print(f"{row[0].isoformat()}|{orders}|{total}", flush=True)
    return row[0]


def main(target, name):
    with psycopg.connect(target, autocommit=True) as listener, psycopg.connect(target, autocommit=True) as reader:
        listener.execute("LISTEN asofs")  # first listen, then look, then wait: so that no copy is missed
        seen = plan(reader, name, None)
        for notice in listener.notifies():
            if notice.payload == name:
                seen = plan(reader, name, seen)


main(*sys.argv[1:3])
