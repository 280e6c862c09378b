# Programs are never served: their media type is unknown on purpose, so the answer is 403.
PASSWORD = "open sesame"
