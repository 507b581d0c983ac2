#!/usr/bin/env python3
"""Check the orders of a shop export before they are booked.

Usage: order_check.py < orders.jsonl

Every line is a JSON object with the fields order, item, quantity and
reference. Quantity and reference are text. A payment reference is valid if
it leaves the remainder 1 when divided by 97.
"""
import json
import sys


def to_number(text):
    """Read a number field of an order."""
    return int(text)


def is_valid_reference(reference):
    """Tell whether the check digits of a payment reference are right."""
    return to_number(reference) % 97 == 1


def main():
    booked = 0
    for line in sys.stdin:
        if not line.strip():
            continue
        order = json.loads(line)
        if not is_valid_reference(order["reference"]):
            print(f"order {order['order']}: reference check failed", file=sys.stderr)
            return 1
        quantity = to_number(order["quantity"])
        print(f"order {order['order']}: {quantity} x {order['item']}")
        booked += quantity
    print(f"{booked} items")
    return 0


if __name__ == "__main__":
    sys.exit(main())
