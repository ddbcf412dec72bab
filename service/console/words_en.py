"""The console in English. `words_id.py` has the same names; a test sees that none is missing in either."""

WORDS = {
    # The frame around every page
    "nav.name": "Pages",
    "nav.skip": "Skip to the page",
    "nav.board": "Board",
    "nav.language": "Language",
    "nav.sign_out": "Sign out",
    # Signing in
    "sign_in.title": "Sign in",
    "sign_in.what": "The board takes an operator's access key.",
    "sign_in.key": "Access key",
    "sign_in.go": "Sign in",
    "sign_in.kept": "You stay signed in for twelve hours at most. The key itself is not kept in this browser.",
    "sign_in.unknown": "This key opens nothing: it is not known, or it was revoked.",
    "sign_in.role": "This key is not for the board: it takes the key of an operator or an admin.",
    # What cannot be shown
    "refused.title": "Not here",
    "refused.role": "Your access key does not open this page.",
    "refused.unknown": "No such call is known here. It may have been erased.",
    "refused.store": "The service cannot read its store just now. Try again.",
    "refused.back": "Back to the board",
}
