"""`lipwire bench density`: how many sessions one core carries, by the way that sound and pictures take.

`command` is the command; `measure` runs a lane in a build; `lanes` says which ways there are; `search` finds the
number. Two processes do the work, each bound to a core of its own: `served`, the build that is measured, and
`generator`, its clients and viewers, which says of itself whether it was on time.
"""
