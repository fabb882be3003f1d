"""`lipwire bench cluster`: several nodes under load, and what becomes of them when something fails.

`command` is the command; `script` says which faults there are, `rig` builds the cluster and runs them, on a `network`
of namespaces or of loopback addresses. `calls` are the clients, `watch` looks at the nodes meanwhile, `report` says
what came of it. `scaling` is another measurement: what two workers carry that have half a core each (`quota`).
"""
