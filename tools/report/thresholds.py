"""Every limit that a warning or a verdict of the report rests on."""
# Windows and estimates.
MIN_OVERLAP = 0.03       # Klimovich, Shirts and Mobley 2015: below this, neighbours hardly connect
MIN_EFFECTIVE = 50       # effective samples of a window
FAR_BINS = 0.05          # share of bins more than three errors from the exact free energy

# The free energy: a minimum is told if leaving it takes at least so many kT and standard errors.
BASIN_KT, BASIN_ERRORS = 1.0, 4.0
LARGE_ERROR_KT = 0.5     # kT: a difference or a barrier with a larger error is called uncertain

# Lifted states, in conditional standard deviations.
W1_WARN = 0.1            # too far, if it is above twice the sampling floor too
MANY_ABOVE_FLOOR = 0.1   # share of comparisons above twice their floor that chance does not explain
CLOSE = 0.05             # a distance that no one will miss

# Two figures of the reduced models, or of one and the full model, differ …
APART_LOG = 0.2          # … if the logarithm of their ratio is above this …
APART_ERRORS = 3.0       # … and above so many joint standard errors.
APART_BINS = 0.25        # share of bins in which drift or diffusion of two sources may differ so
LARGE_RELATIVE = 0.25    # relative error above which a figure of the full model decides nothing


def ways_overlap(steered):
    """Whether the work of both ways can be put together (of metrics.json, steered)."""
    overlap, walkers = steered.get("overlap"), steered.get("shared_walkers")
    return overlap is not None and walkers is not None and overlap >= 0.03 and walkers >= 20
