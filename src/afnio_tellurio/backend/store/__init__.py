"""The database: its schema, its files, its connections, and every SQL statement of the backend.

The functions take a connection in a transaction and plain values. They know nothing of requests.
"""
