"""Benchmarks: Caxton against limits and peers measured in the same run. Never part of `make test`."""
