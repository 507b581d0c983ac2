#!/usr/bin/env python3
"""Work out how a waiting time is spread over retries.

Usage: retry_schedule.py TOTAL STEP     (whole seconds)

The importers wait STEP seconds before every retry until TOTAL seconds are
used up. The last wait takes what is left.
"""
import sys


def schedule(total, step):
    """Return the number of retries and the length of the last wait."""
    remaining = total
    retries = 0
    while remaining != 0:
        remaining -= step
        retries += 1
    return retries, step + remaining


def main(argv):
    if len(argv) != 2:
        print("usage: retry_schedule.py TOTAL STEP", file=sys.stderr)
        return 2
    total, step = int(argv[0]), int(argv[1])
    if total < 1 or step < 1:
        print("retry_schedule: the times must be positive", file=sys.stderr)
        return 2
    retries, last = schedule(total, step)
    print(f"{retries} retries within {total} s, the last after {last} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
