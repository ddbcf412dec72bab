"""What happens to calls: HTTP, storage and people."""
