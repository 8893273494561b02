"""Benchmarks: one file per question; results with hardware and commit are in `results/`."""
