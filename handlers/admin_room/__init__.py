"""What moderators can do in the admin room, and the watch over that room."""
