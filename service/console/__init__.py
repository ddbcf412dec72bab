"""What operators see in a browser: pages rendered here, kept live by small modules, nothing from elsewhere."""
