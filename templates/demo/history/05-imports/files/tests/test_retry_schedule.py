"""Tests of tools/retry_schedule.py."""
import importlib.util
import os
import sys
import unittest

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SPEC = importlib.util.spec_from_file_location(
    "retry_schedule", os.path.join(ROOT, "tools", "retry_schedule.py")
)
retry_schedule = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(retry_schedule)


class RetryScheduleTest(unittest.TestCase):
    def test_even_waits(self):
        self.assertEqual(retry_schedule.schedule(60, 15), (4, 15))

    def test_one_wait(self):
        self.assertEqual(retry_schedule.schedule(30, 30), (1, 30))

    def test_every_second(self):
        self.assertEqual(retry_schedule.schedule(90, 1), (90, 1))


if __name__ == "__main__":
    unittest.main()
