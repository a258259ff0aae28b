"""The SQLite database: its schema, and one module for each kind of row. All SQL is here."""
