"""Messages as they arrive over HTTP and what goes back: transports of both eras, raw ASGI."""
