"""The second wall: what a process that meets untrusted code may still ask of the kernel.

Owns seccomp filters, Landlock rules and process attributes, put up from inside once everything that is needed has
been imported and started. Must never be taken down, and never let a process go on where the kernel refuses.
"""

from caxton.executor.confinement.profiles import COMPILER, FILES, PURE, Profile
from caxton.executor.confinement.walls import confine, refuse_new_code, restrict_files

__all__ = ["COMPILER", "FILES", "PURE", "Profile", "confine", "refuse_new_code", "restrict_files"]
