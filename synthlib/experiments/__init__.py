"""What the chapters measure, a module each, and what `make ledger` repeats over seeds."""
