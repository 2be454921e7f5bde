"""Session chats, `/llmchat/**`: a model, the tools of a virtual server, and a stored history."""

from __future__ import annotations
