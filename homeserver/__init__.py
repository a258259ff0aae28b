"""All communication with the homeserver, in three packages."""
