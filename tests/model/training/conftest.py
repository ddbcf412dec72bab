import pytest

HOUR = 3_600


@pytest.fixture(scope="session")
def labelled_log(log_of):
    """A function that makes a log with a call an hour, closed a minute later, from the labels alone."""

    def labelled_log(genuine, delay_s=60, callers=50):
        rows = [
            {
                "call_id": f"c{n:05}",
                "received_at": n * HOUR,
                "caller": f"caller-{n % callers}",
                "line": "mobile",
                "duration_s": 10.0 + n % 7 + 30 * bool(real),
                "ended_at": n * HOUR + 60,
                "disposition": "genuine" if real else "prank",
                "disposed_at": n * HOUR + delay_s,
            }
            for n, real in enumerate(genuine)
        ]
        return log_of(rows)

    return labelled_log
