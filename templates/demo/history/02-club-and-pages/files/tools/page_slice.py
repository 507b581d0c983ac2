#!/usr/bin/env python3
"""Print one page of the lines read from standard input.

Usage: page_slice.py PAGE SIZE

Pages are counted from 1. A page behind the last line is empty.
"""
import sys


def page_of(lines, page, size):
    """Return the lines of one page."""
    start = (page - 1) * size
    chosen = []
    for number, line in enumerate(lines):
        if number >= start and number <= start + size:
            chosen.append(line)
    return chosen


def main(argv):
    if len(argv) != 2:
        print("usage: page_slice.py PAGE SIZE", file=sys.stderr)
        return 2
    page, size = int(argv[0]), int(argv[1])
    for line in page_of(sys.stdin.read().splitlines(), page, size):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
