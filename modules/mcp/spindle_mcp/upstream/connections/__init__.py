"""Connections to upstreams, in the words of either era, whatever carries them."""
