"""What every spec is built from. No torch."""
