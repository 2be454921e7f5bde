"""What upstreams are shown: headers of our own, and tokens of their authorization servers."""
