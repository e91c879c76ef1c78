"""What agents say to each other beyond one message: protocols, capabilities, topics, tasks.

Owns who is meant and what may be said next. Must never deliver by another way than messages.
"""
