#!/usr/bin/env python3
"""Turn titles into slugs for the web shop.

Usage: slugify.py TITLE...
"""
import re
import sys


def slugify(title):
    """Return the slug of a title: its words in lower case, with hyphens."""
    words = re.findall("[a-z0-9]+", title.lower())
    return "-".join(words)


def main(argv):
    for title in argv:
        print(slugify(title))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
