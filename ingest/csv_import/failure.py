"""Why an import cannot be done, or a row not taken."""


class ImportRefused(Exception):
    """The file or what was asked for is wrong; the message says what. Nothing was sent."""


class RowRejected(ValueError):
    """The row cannot become a scan; the message is the reason that its line in the file of rejected rows gets."""
