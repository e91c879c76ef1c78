"""What is done about agents and conversations that fail.

Owns quarantines and held conversations. Must never lose or reorder a message.
"""
