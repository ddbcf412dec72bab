"""The command `saring`.

Each file has the commands of one kind of user, reads their arguments and files and leaves the work to a room. It may
import everything but the client. Nothing heavy is imported before a command needs it; what a person can mend is one
line on standard error.
"""
