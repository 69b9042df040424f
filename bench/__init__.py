"""Benchmarks: run by hand, on an idle machine; each prints a table and, last, one JSON object."""
