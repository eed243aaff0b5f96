"""Custom domains: hosts of a workspace that its codes can be printed with."""
