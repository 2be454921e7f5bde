"""Wire simulators: upstream servers in a process of their own that play scripted bytes.

They answer the dialects Spindle speaks to, exactly as told and as badly as told: every body can be
cut at chosen byte offsets, stopped half-way, left hanging or sent as something else.
"""

from __future__ import annotations
