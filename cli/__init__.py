"""The subcommands: run the bot, check the set-up, read the audit, accept an identity."""
