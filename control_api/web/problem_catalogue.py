"""Every kind of problem the API answers. `docs/errors.md` explains each of them to those who meet it."""

from enum import Enum


class ProblemKind(Enum):
    """The member's name in lower case is the `code`: for programs, it never changes its meaning."""

    BAD_REQUEST = (400, "The request cannot be read")
    MALFORMED_JSON = (400, "The body is not JSON")
    BAD_CURSOR = (400, "The cursor is not one of ours")
    UNAUTHENTICATED = (401, "A valid key is needed")
    WRONG_CREDENTIALS = (401, "The address or the password is wrong")
    GOOGLE_SIGN_IN_FAILED = (401, "Signing in by Google failed")
    INSUFFICIENT_CREDITS = (402, "The wallet holds too few credits")
    ADMIN_KEY_NEEDED = (403, "Only the platform admin may do this")
    WORKSPACE_KEY_NEEDED = (403, "This needs the key of a workspace")
    MISSING_SCOPE = (403, "The key may not do this")
    SIGN_IN_OFF = (403, "Signing in is not set up")
    SIGN_IN_NEEDED = (403, "Only who is signed in may do this")
    REGISTRATION_CLOSED = (403, "Nobody can register here")
    EMAIL_NOT_VERIFIED = (403, "The e-mail address is not verified")
    OWNER_NEEDED = (403, "Only an owner may do this")
    INVITATION_NOT_YOURS = (403, "The invitation is somebody else's")
    NOT_FOUND = (404, "There is no such thing")
    METHOD_NOT_ALLOWED = (405, "The method is not allowed here")
    NOT_ACCEPTABLE = (406, "None of the accepted formats can be answered")
    REQUEST_TIMEOUT = (408, "The request did not come in time")
    EMAIL_TAKEN = (409, "The e-mail address is taken")
    SHORT_CODE_TAKEN = (409, "The short code is taken")
    CODE_BANNED = (409, "The QR code is banned")
    DOMAIN_NOT_VERIFIED = (409, "The QR code's domain is not verified")
    CHANGE_SETTLED = (409, "The scheduled change is settled")
    TOO_MANY_SCHEDULED = (409, "Too many changes are scheduled")
    HOST_TAKEN = (409, "The host is taken")
    DOMAIN_IN_USE = (409, "QR codes sit on the domain")
    IDEMPOTENCY_KEY_IN_USE = (409, "The first request with this key is still running")
    ANSWER_UNREADABLE = (409, "The first answer cannot be read any more")
    PASSWORD_SIGN_IN_NEEDED = (409, "The account has a password")
    OTHER_GOOGLE_ACCOUNT = (409, "Another Google account opens this account")
    LAST_OWNER = (409, "The workspace needs an owner")
    PERSONAL_WORKSPACE = (409, "The workspace is personal")
    WORKSPACE_IN_USE = (409, "The workspace has codes or domains")
    CREDIT_KEY_REUSED = (409, "The ledger's idempotency key was used for something else")
    RESERVATION_CLOSED = (409, "The reservation has ended")
    REFUND_EXCESSIVE = (409, "That much is not left to give back")
    JOB_NOT_DEAD = (409, "The job is not among the failed ones")
    STALE_VERSION = (412, "The object has changed meanwhile")
    BODY_TOO_LARGE = (413, "The body is too large")
    TARGET_TOO_LONG = (414, "The path and the query are too long")
    UNSUPPORTED_MEDIA_TYPE = (415, "The body must be JSON")
    INVALID_PARAMETERS = (422, "Some parameters are invalid")
    IDEMPOTENCY_KEY_REUSED = (422, "The key came with another request before")
    RATE_LIMITED = (429, "Too many requests")
    TOO_MANY_ATTEMPTS = (429, "There were too many attempts")
    UNKNOWN_MODEL = (422, "The model has no price")
    QUERY_TOO_EXPENSIVE = (422, "The question is too expensive")
    TOO_MANY_STREAMS = (429, "Too many streams are open")
    HEAD_TOO_LARGE = (431, "The header fields are too large")
    INTERNAL_ERROR = (500, "Something went wrong on our side")
    STORE_UNAVAILABLE = (503, "A store is unavailable")
    TOO_MANY_CONNECTIONS = (503, "Too many connections are open")
    PROVIDER_UNAVAILABLE = (503, "The sign-in provider is unavailable")
    PASSWORDS_BUSY = (503, "Too many passwords are being set")
    IMAGES_BUSY = (503, "Too many images are being drawn")

    def __init__(self, status: int, title: str) -> None:
        self.status = status
        self.title = title

    @property
    def code(self) -> str:
        return self.name.lower()

    @property
    def type(self) -> str:
        return f"urn:scanhop:error:{self.code}"
