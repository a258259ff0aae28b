"""End-to-end encryption: the bot's own keys, and whether to trust other people's devices."""
