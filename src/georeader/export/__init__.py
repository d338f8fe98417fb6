"""How an export flows: spec and layout say what is wanted, sources read, the engine makes, sinks write."""
