"""Tests of tools/buggy_calculator.py."""
import importlib.util
import os
import sys
import unittest

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SPEC = importlib.util.spec_from_file_location(
    "buggy_calculator", os.path.join(ROOT, "tools", "buggy_calculator.py")
)
buggy_calculator = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(buggy_calculator)


class CalculatorTest(unittest.TestCase):
    def test_the_four_operations(self):
        self.assertEqual(buggy_calculator.calculate("add", "2", "3"), 5)
        self.assertEqual(buggy_calculator.calculate("sub", "2", "3"), -1)
        self.assertEqual(buggy_calculator.calculate("mul", "2.5", "4"), 10)
        self.assertEqual(buggy_calculator.calculate("div", "9", "4"), 2.25)

    def test_nothing_divided(self):
        self.assertEqual(buggy_calculator.calculate("div", "0", "4"), 0)

    def test_bad_input_is_refused(self):
        with self.assertRaises(ValueError):
            buggy_calculator.calculate("add", "two", "3")
        with self.assertRaises(ValueError):
            buggy_calculator.calculate("pow", "2", "3")

    def test_results_are_short(self):
        self.assertEqual(buggy_calculator.show(5.0), "5")
        self.assertEqual(buggy_calculator.show(0.1 + 0.2), "0.3")


if __name__ == "__main__":
    unittest.main()
