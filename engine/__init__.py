"""Carries decisions out: stores them, runs the steps on the homeserver, sends the messages."""
