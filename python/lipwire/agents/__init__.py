"""Agents: they join a channel, hear, think and speak.

`config` says what an agent is, `describe` makes that of what was asked for, `brains` think for it, `conversation`
decides what everything that happens means, `agent` runs one in a channel, `manager` many of them.
"""
