"""What each provider's own wire needs beside its JSON: addresses, signatures, framing, counting."""
