"""What is shown: one HTML file that opens offline."""
