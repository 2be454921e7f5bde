"""Models as tools: one turn of a chat, or vectors, for arguments that any client can write."""
