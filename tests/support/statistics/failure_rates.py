"""How often a proof failed in simulation: printed as a row, and held against what was promised."""

from model.certification.bounds import exact_interval

DELTA = 0.05


def row(label, failures, repetitions):
    low, high = exact_interval(failures, repetitions)
    rate = failures / repetitions
    print(f"| {label} | {repetitions} | {100 * rate:.2f} % | {100 * low:.2f} to {100 * high:.2f} % |")


def holds(failures, repetitions, nominal=DELTA):
    return exact_interval(failures, repetitions, 0.999)[0] <= nominal


def breaks(failures, repetitions, nominal=DELTA):
    return exact_interval(failures, repetitions, 0.999)[0] > nominal
