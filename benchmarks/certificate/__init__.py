"""What `make certify` counts: claims of the ladder on studies whose truth is known."""
