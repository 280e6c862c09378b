# Programs are never served: their media type is unknown on purpose, and that answers 403.
PASSWORD = "open sesame"
