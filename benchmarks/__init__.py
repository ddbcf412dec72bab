"""What `make bench` measures. Figures are ratios inside one run wherever two things can be compared."""
