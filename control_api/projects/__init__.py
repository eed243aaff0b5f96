"""Projects: folders of QR codes."""
