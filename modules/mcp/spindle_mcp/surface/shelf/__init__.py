"""What one class of callers sees on one endpoint, and who hears when it changes."""
