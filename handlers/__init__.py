"""Reads messages and reactions, checks who may do what, and applies decisions."""
