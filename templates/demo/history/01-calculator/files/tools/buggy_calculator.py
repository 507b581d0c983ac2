#!/usr/bin/env python3
"""Calculate with two numbers.

Usage: buggy_calculator.py OP A B     (OP is add, sub, mul or div)
"""
import sys


def add(a, b):
    return a + b


def subtract(a, b):
    return a - b


def multiply(a, b):
    return a * b


def divide(a, b):
    return a / b


OPERATIONS = {"add": add, "sub": subtract, "mul": multiply, "div": divide}


def calculate(name, left, right):
    """Apply the named operation to two numbers given as text."""
    operation = OPERATIONS.get(name)
    if operation is None:
        raise ValueError(f"unknown operation: {name}")
    return operation(float(left), float(right))


def show(value):
    """Write a result without a needless fraction."""
    value = round(value, 6)
    return str(int(value)) if value == int(value) else str(value)


def main(argv):
    if len(argv) != 3:
        print("usage: buggy_calculator.py OP A B", file=sys.stderr)
        return 2
    try:
        print(show(calculate(*argv)))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
