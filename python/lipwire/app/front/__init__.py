"""The front process: one HTTP server before many workers, each of which is a whole `Service`.

| module | what it is |
|---|---|
| `routes` | every route there is, and by what its owner is found |
| `asking` | who asks, and how often: keys and tokens, once for all workers |
| `bodies` | what a request's body, or its token, says of where it belongs |
| `upstream` | HTTP/1.1 to one worker, or to another node |
| `relay` | a request passed on, and its answer passed back; WebSockets likewise |
| `starts` | what needs a place: sessions, agents, rooms |
| `lists` | what is put together from all workers, in the order in which one would tell it |
| `figures` | /metrics of all workers, and of the cluster |
| `hop` | what one node says to another of whom it speaks for |
| `app` | the ASGI app |
| `server` | its life: ports, TLS, the workers, draining |

The front reads of a request what it must to find the worker that it belongs to. That one checks it and answers it, in
its own words: a client sees no difference.
"""
