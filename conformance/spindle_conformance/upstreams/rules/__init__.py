"""What vendors refuse in a request: a file a vendor, from a body to what is wrong with it."""

from __future__ import annotations
