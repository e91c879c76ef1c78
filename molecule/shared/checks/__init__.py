"""What the scenarios' tests ask of a deployed appliance, from the controller.

Owns a small HTTP client and the agents that tests deploy. Must never reach into a machine: testinfra does.
"""
