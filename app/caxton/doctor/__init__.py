"""What a healthy node looks like, as named checks.

Owns the checks and their hints. Must never change anything on the host.
"""

from caxton.doctor.examination import EXAMINATIONS, examine
from caxton.doctor.model import Check, Patient, Status, worst

__all__ = ["EXAMINATIONS", "Check", "Patient", "Status", "examine", "worst"]
