"""The control plane: the core's own REST routes, one file a resource.

A handler takes the core and a `Request` and returns a `Response`; what it refuses, it raises.
Adding a resource is a file with `ROUTES` and a line in `inventory.py`.
"""

from __future__ import annotations
