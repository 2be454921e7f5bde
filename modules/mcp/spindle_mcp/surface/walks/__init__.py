"""What a governed request goes through: admitted, judged, carried out, settled once."""
