"""What MCP clients are told to reach the gateway: a table for each, and the command that prints."""
