"""Tests of tools/member_report.py."""
import importlib.util
import os
import sys
import unittest

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SPEC = importlib.util.spec_from_file_location(
    "member_report", os.path.join(ROOT, "tools", "member_report.py")
)
member_report = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(member_report)


def member(name, nickname, city="Lyon", points=10):
    return {"name": name, "nickname": nickname, "city": city, "points": points}


class MemberReportTest(unittest.TestCase):
    def test_nickname_in_brackets(self):
        line = member_report.describe(member("Eva Maas", "Evi"))
        self.assertEqual(line, "Eva Maas (Evi), Lyon, 10 points")

    def test_empty_nickname_is_left_out(self):
        line = member_report.describe(member("Eva Maas", ""))
        self.assertEqual(line, "Eva Maas, Lyon, 10 points")

    def test_sorted_by_name(self):
        lines = member_report.report([member("Zoe", ""), member("Abe", "")])
        self.assertEqual(lines[0], "Abe, Lyon, 10 points")
        self.assertEqual(lines[1], "Zoe, Lyon, 10 points")


if __name__ == "__main__":
    unittest.main()
