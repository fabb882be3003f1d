"""Agents: they join a channel, hear, think and speak.

`config` says what an agent is, `brain` what thinks for it, `agent` runs one in a channel, `manager` many of them.
"""
