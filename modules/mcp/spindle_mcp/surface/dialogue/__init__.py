"""What an upstream asks a client while its request runs, in the way of either era."""
