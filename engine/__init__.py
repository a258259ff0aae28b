"""Does what was decided: runs the steps against the homeserver, sends the messages, watches the clock."""
