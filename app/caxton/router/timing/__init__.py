"""What happens at a time: retries, deadlines, guests' timers, schedules.

Owns when. Must never decide what a due time means: it becomes a message, or wakes a mailbox.
"""
