"""QR codes: what a printed code leads to, its versions, and how an edit reaches the edge."""
