"""This node's part in the cluster: what it asks of others and answers them. One module per task.

Owns how the parts of caxton.cluster act on this node's agents and messages. Must never be reached by a node that is
alone: there `desk.cluster` is None.
"""
