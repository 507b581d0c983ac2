#!/usr/bin/env python3
"""Print one line for every member of the shop's club.

Usage: member_report.py < members.json

The input is a JSON list of objects as the member service exports them.
"""
import json
import sys


def describe(member):
    """Return the report line of one member."""
    name = member["name"]
    nickname = member["nickname"]
    if nickname:
        name = f"{name} ({nickname})"
    return f"{name}, {member['city']}, {member['points']} points"


def report(members):
    """Return the report lines, sorted by name."""
    ordered = sorted(members, key=lambda member: member["name"])
    return [describe(member) for member in ordered]


def main():
    members = json.load(sys.stdin)
    for line in report(members):
        print(line)
    print(f"{len(members)} members")
    return 0


if __name__ == "__main__":
    sys.exit(main())
