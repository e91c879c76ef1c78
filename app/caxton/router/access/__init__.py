"""What a caller reaches, and how much of the node a namespace may use.

Owns the rule of every operation (`rules`), reach (`reach`), what a deployer who is bound may give to agents
(`bounds`), and quotas (`accounts`, `storage`). Must never verify a credential: the API does.
"""
