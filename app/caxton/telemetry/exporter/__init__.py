"""The process that hands a node's spans to a collector.

Owns OpenTelemetry's SDK: nothing else imports it. Must never be waited for by a process that serves.
"""
