"""All that Lethe remembers, in one SQLite file. All SQL stands in this package."""
