"""Networks that classify, and what they are made of."""
