#!/usr/bin/env python3
"""Turn titles into slugs for the web shop.

Usage: slugify.py TITLE...
       slugify.py < TITLES

Prints one slug for every title; without arguments every line of the input
is a title.
"""
import re
import sys
import unicodedata

MAX_LENGTH = 40


def fold(title):
    """Return the title with plain letters in place of accented ones."""
    if title.isascii():
        return title
    return unicodedata.normalize("NFKD", title).encode("ascii", "ignore")


def shorten(words):
    """Join the words with hyphens, as many as fit into MAX_LENGTH."""
    slug = ""
    for word in words:
        longer = f"{slug}-{word}" if slug else word
        if slug and len(longer) > MAX_LENGTH:
            break
        slug = longer
    return slug


def slugify(title):
    """Return the slug of a title: its words in lower case, with hyphens."""
    return shorten(re.findall("[a-z0-9]+", fold(title).lower()))


def main(argv):
    titles = argv or sys.stdin.read().splitlines()
    for title in titles:
        print(slugify(title))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
