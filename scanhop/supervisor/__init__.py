"""Child processes: started together, watched, restarted, replaced, stopped in order.

Owns: the one way a Scanhop process starts another (engines of the development stack, the services of
`scanhop up`, the workers of `scanhop edge`).

Invariants:
- A child dies with its parent, however the parent dies (`PR_SET_PDEATHSIG`).
- A child has a session of its own: Ctrl-C in a terminal reaches the parent alone, which stops the children in
  order and so drains them.
- A rolling restart takes no child away before its successor is ready.
- Children stop in the reverse order of their start; one that outlives its time-out is killed.
"""

from scanhop.supervisor.child import AskedToStop, ChildFailed, ChildProcess, ProcessSpec
from scanhop.supervisor.readiness import tell_ready
from scanhop.supervisor.supervisor import Supervisor

__all__ = ["AskedToStop", "ChildFailed", "ChildProcess", "ProcessSpec", "Supervisor", "tell_ready"]
