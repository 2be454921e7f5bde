"""The core's side of the six SPI services."""
