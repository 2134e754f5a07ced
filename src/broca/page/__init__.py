"""What a reader sees, as data: blocks, numbers in words, commands to type. No HTML, no terminal, no instrument."""
