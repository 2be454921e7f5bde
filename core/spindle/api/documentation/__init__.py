"""What each route of the control plane takes and answers, one file an area.

A table's keys are routes: `GET /admin/api/v1/me`. Nothing of it is loaded before somebody reads
the OpenAPI document.
"""

from __future__ import annotations
