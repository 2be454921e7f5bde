"""What an upstream says it offers: read, judged, made into records, kept fresh."""
