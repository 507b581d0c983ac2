#!/usr/bin/env python3
"""Summarise the stock feed of a supplier.

Usage: import_feed.py FILE

The feed is a CSV file with the columns article, stock and price.
"""
import csv
import sys


def summarise(rows):
    """Return the number of articles, of pieces and the value of the stock."""
    articles = 0
    pieces = 0
    cents = 0
    for row in rows:
        stock = int(row["stock"])
        articles += 1
        pieces += stock
        cents += stock * round(float(row["price"]) * 100)
    return articles, pieces, cents


def main(argv):
    if len(argv) != 1:
        print("usage: import_feed.py FILE", file=sys.stderr)
        return 2
    with open(argv[0], newline="", encoding="utf-8") as feed:
        articles, pieces, cents = summarise(csv.DictReader(feed))
    print(f"{articles} articles, {pieces} pieces, {cents / 100:.2f} EUR")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
