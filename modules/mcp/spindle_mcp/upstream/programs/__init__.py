"""Upstreams that are programs of ours: started within bounds, spoken to over a pipe."""
