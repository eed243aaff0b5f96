"""Users, the workspaces they own, and the keys that open them."""
