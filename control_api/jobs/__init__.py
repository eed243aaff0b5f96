"""The jobs that come by the clock: how they went, which of the queue have failed for good, and their replay."""
