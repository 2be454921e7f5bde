"""Reproducible measurements: CPU of a process tree per request, beside nginx and a relay."""
