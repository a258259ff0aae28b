"""All communication with the homeserver: client, encryption, account administration."""
