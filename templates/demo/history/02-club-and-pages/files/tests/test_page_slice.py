"""Tests of tools/page_slice.py."""
import importlib.util
import os
import sys
import unittest

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SPEC = importlib.util.spec_from_file_location(
    "page_slice", os.path.join(ROOT, "tools", "page_slice.py")
)
page_slice = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(page_slice)


LINES = ["a", "b", "c", "d", "e", "f", "g"]


class PageSliceTest(unittest.TestCase):
    def test_last_page_is_shorter(self):
        self.assertEqual(page_slice.page_of(LINES, 3, 3), ["g"])

    def test_everything_on_one_page(self):
        self.assertEqual(page_slice.page_of(LINES, 1, 10), LINES)

    def test_page_behind_the_end_is_empty(self):
        self.assertEqual(page_slice.page_of(LINES, 5, 3), [])

    def test_no_lines(self):
        self.assertEqual(page_slice.page_of([], 1, 3), [])


if __name__ == "__main__":
    unittest.main()
