"""Tests of the Python tools."""
