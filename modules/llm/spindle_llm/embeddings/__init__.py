"""Embeddings: what is asked, in which batches, and how vectors are kept for equal calls."""

from __future__ import annotations
