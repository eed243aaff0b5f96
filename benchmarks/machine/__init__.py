"""What a measurement needs of the machine: cores of its own, and the CPU and memory of a process tree."""
