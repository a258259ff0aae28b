"""Reads what people write, checks who may ask for what, and asks for decisions."""
