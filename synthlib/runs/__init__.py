"""The methods as commands: resumable, in shards, by one process or many."""
