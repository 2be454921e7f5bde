"""The catalog as administrators change it: bodies read, drafts judged, edits written."""
