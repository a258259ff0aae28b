"""Account administration: the interface AccountBackend, and Synapse's admin API behind it."""
