"""The page on which people log in to prove that an account is theirs, and ask for its removal."""
