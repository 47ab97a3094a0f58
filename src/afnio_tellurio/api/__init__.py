"""Speaking to a backend: the connection, the operations of the contract, and what they return."""
