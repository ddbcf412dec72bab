"""What is true of calls: no web, no database and no clock of its own (every `now` is passed in)."""
