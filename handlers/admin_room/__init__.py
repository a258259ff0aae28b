"""The moderators' commands and confirmations, and the checks of the admin room itself."""
