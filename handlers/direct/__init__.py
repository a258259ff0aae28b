"""What a person can do with their own account, in a direct message with the bot."""
