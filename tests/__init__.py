"""Tests; a regular package, since a stack installs a ``tests`` of its own."""
