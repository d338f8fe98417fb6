"""Remote storage: URLs, credentials and their redaction, clients of stores, HTTP, retries."""
