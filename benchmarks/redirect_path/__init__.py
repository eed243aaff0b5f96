"""The CPU that one redirect costs, beside other servers that answer the same requests.

A scenario is a kind of request; a contender is a server that answers it. One measurement is one contender under one
scenario for some seconds: the load generator saturates it, and the CPU of its process tree is divided by the requests
answered. A row is what is compared with what, and what it is to reach.

Rounds interleave all measurements, so that what disturbs the machine disturbs all of them; a ratio is taken within a
round, and its median over the rounds is what is compared with its target.
"""
