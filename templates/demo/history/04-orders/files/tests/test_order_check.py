"""Tests of tools/order_check.py."""
import importlib.util
import os
import sys
import unittest

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SPEC = importlib.util.spec_from_file_location(
    "order_check", os.path.join(ROOT, "tools", "order_check.py")
)
order_check = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(order_check)


class OrderCheckTest(unittest.TestCase):
    def test_numbers(self):
        self.assertEqual(order_check.to_number("3"), 3)
        self.assertEqual(order_check.to_number("0012"), 12)

    def test_valid_references(self):
        self.assertTrue(order_check.is_valid_reference("98"))
        self.assertTrue(order_check.is_valid_reference("970000000001"))

    def test_wrong_check_digits(self):
        self.assertFalse(order_check.is_valid_reference("99"))
        self.assertFalse(order_check.is_valid_reference("970000000010"))


if __name__ == "__main__":
    unittest.main()
