"""Measure time and memory; ``python -m benchmarks.losses`` and others."""
