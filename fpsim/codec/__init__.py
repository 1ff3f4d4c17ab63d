"""Round, encode, decode and pack arrays; backends that equal the exact reference bit for bit."""
