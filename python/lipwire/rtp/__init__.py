"""RTP between this machine and those of the telephone: descriptions, ports, sources, keys, and speech that comes in.

What goes out is `lipwire.publish.RTP`. No event loop but in `endpoint`; time is an argument everywhere else.
"""
