"""What is public of how clients come in, and where people let gateways act for them."""
