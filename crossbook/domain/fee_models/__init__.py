"""Fee models: how a venue charges, one module a formula, and the table that a plug-in adds its own to."""
