"""Images of QR codes: the symbol that is printed, as SVG, PNG, PDF and EPS."""
