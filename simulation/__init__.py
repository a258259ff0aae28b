"""The whole bot in one process, on a loop with its own clock, against a model of the homeserver: a seed decides all."""
