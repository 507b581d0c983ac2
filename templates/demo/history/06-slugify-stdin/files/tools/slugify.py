#!/usr/bin/env python3
"""Turn titles into slugs for the web shop.

Usage: slugify.py TITLE...
       slugify.py < TITLES

Prints one slug for every title; without arguments every line of the input
is a title.
"""
import re
import sys


def slugify(title):
    """Return the slug of a title: its words in lower case, with hyphens."""
    words = re.findall("[a-z0-9]+", title.lower())
    return "-".join(words)


def main(argv):
    titles = argv or sys.stdin.read().splitlines()
    for title in titles:
        print(slugify(title))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
