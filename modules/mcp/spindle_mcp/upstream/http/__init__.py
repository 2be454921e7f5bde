"""What carries messages to an upstream over HTTP: POSTs of both eras, server-sent events."""
