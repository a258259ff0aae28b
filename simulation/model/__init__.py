"""A model of Synapse, as far as Lethe asks it for anything. tests/synapse/simulation holds it to the real one."""
