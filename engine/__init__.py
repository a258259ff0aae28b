"""Carries out decisions: stores them, runs the steps on the homeserver, and sends the messages."""
