"""Many workers on one machine, many machines: who runs what, and how a request finds it.

| module | what it is |
|---|---|
| `placement` | the small protocol behind which a place is looked for: `reserve(need) -> Place or None` |
| `pool` | the workers of this machine: started, watched, started again |
| `ledger` | the account of their places, of quotas, and of who runs what |
| `spare` | the process that waits to take a dead worker's place |
| `weight` | what a session, an agent or a room costs where it runs |
| `wire` | what the front process and its workers say to each other |
| `view` | what `lipwire top` and the page show of a cluster |

Nothing here is kept but by its owner: a session is known by the worker that runs it, by the front process in front of
that, and in a cluster by the subject on which its node answers for it.
"""
