"""Tests of tools/import_feed.py."""
import importlib.util
import os
import sys
import unittest

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SPEC = importlib.util.spec_from_file_location(
    "import_feed", os.path.join(ROOT, "tools", "import_feed.py")
)
import_feed = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(import_feed)


def row(stock, price):
    return {"article": "A-1", "stock": stock, "price": price}


class ImportFeedTest(unittest.TestCase):
    def test_empty_feed(self):
        self.assertEqual(import_feed.summarise([]), (0, 0, 0))

    def test_sums(self):
        rows = [row("3", "2.50"), row("0", "19.99"), row("10", "0.10")]
        self.assertEqual(import_feed.summarise(rows), (3, 13, 850))


if __name__ == "__main__":
    unittest.main()
