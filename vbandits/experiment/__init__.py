"""What every benchmark shares: experiment, jobs, engine, store, progress."""
