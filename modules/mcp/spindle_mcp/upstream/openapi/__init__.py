"""REST APIs as upstreams: an OpenAPI document, each of its operations a tool."""
