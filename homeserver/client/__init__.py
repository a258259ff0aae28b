"""The Matrix client: HTTP, log-in, sync, rooms, messages and files."""
