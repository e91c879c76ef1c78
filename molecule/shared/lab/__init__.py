"""Lab machines: Debian hosts with their own systemd, address and sshd, on a private bridge inside this one.

Owns everything that `up` makes (processes, control groups, bridge, route, packet filter, files) and removes
it. It must never touch what it did not make: the host's own network, other control groups, the memory
hierarchy. Standard library only: it runs before anything of the project is installed.
"""
