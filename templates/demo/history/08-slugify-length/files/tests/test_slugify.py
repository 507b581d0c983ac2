"""Tests of tools/slugify.py."""
import importlib.util
import os
import sys
import unittest

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SPEC = importlib.util.spec_from_file_location(
    "slugify", os.path.join(ROOT, "tools", "slugify.py")
)
slugify = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(slugify)


class SlugifyTest(unittest.TestCase):
    def test_words_are_joined(self):
        self.assertEqual(slugify.slugify("Summer Sale 2024"), "summer-sale-2024")

    def test_punctuation_is_dropped(self):
        self.assertEqual(slugify.slugify("Tea & Coffee, new!"), "tea-coffee-new")

    def test_nothing_left(self):
        self.assertEqual(slugify.slugify("?!"), "")

    def test_long_titles_are_cut_between_words(self):
        slug = slugify.slugify("The complete guide to baking bread at home for all")
        self.assertEqual(slug, "the-complete-guide-to-baking-bread-at")


if __name__ == "__main__":
    unittest.main()
