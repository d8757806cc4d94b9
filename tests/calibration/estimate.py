"""From counts to probabilities: pure functions, no file and no program.

A rule's own count is smoothed toward what rules of its standing are worth with as much in sight; that is the mean over
RULES, not over cases, for the question is what another rule of that standing is worth. It is monotone over the standings.
Requests of one recording share their fate: a recording counts for as many independent cases as requests that agree so
often are worth (`weight`), not for each of its requests.
"""
import collections

STANDINGS = ("hint", "possible", "plausible", "likely", "strong", "proof")
COMPLETENESS = (
    "whole",
    "access_and_error",
    "access_and_server",
    "error_and_server",
    "access_alone",
    "error_alone",
    "borrowed",
    "by_time",
    "doubtful",
    "process",
    "outranked",
)
# One log of nginx alone: what a rule is worth there in recordings tells nothing of what it is worth beside other logs, and
# the other way around. Nothing in it tells the requests of one recording apart: they are one case together.
ALONE = ("access_alone", "error_alone")
# Requests of one recording share their fate: how much, as the correlation of two of them. Of so many that say the same,
# more than 1 / ALIKE independent cases cannot be had.
ALIKE = 0.5
# What its standing is worth counts beside a rule's own record as much as so many independent cases: three of three are
# then worth less than 0.99, whatever the standing.
PRIOR = 2.5
# With one log of nginx alone: how often each cause is met in recordings is their maker's choice, which tells the more the less
# is in sight.
PRIOR_ALONE = 4.0
# A rule that was seen in so many independent cases counts for half a rule among those of its standing.
HALF = 1.0
# Beside the rules of a standing that were seen with as much in sight: what the standing is worth whatever is in sight, as
# so many rules; and beside those, what rules of any standing are worth.
PRIOR_RULES = 1.0
PRIOR_OF_ALL = 0.5
# A rule that was right in the few cases that were seen is not always right: so many cases of its prior stand beside them.
DOUBT = 1.0
# A claim that another outranks is mostly wrong, before anything was counted.
OUTRANKED = 0.1


def weight(of, completeness=None):
    """Independent cases that so many cases of one recording are worth."""
    alike = 1.0 if completeness in ALONE else ALIKE
    return of / (1.0 + (of - 1.0) * alike) if of > 0 else 0.0


class Count:
    """How often a rule was right: plainly, and in independent cases."""

    __slots__ = ("of", "right", "weight", "right_weight")

    def __init__(self):
        self.of = self.right = 0
        self.weight = self.right_weight = 0.0

    def add(self, of, right, completeness):
        self.of += of
        self.right += right
        self.weight += weight(of, completeness)
        self.right_weight += weight(of, completeness) * right / of


def counts(observations):
    """Of each rule and completeness, by recording: {(rule, completeness): {recording: (of, right)}}."""
    found = collections.defaultdict(lambda: collections.defaultdict(lambda: [0, 0]))
    for one in observations:
        cell = found[one.rule, one.completeness][one.unit]
        cell[0] += 1
        cell[1] += one.right
    return found


def is_lenient(unit):
    """True for a posted case that is right whichever of several causes is named."""
    return unit.startswith("lenient ")


def total(cell, by_unit, without=None, of_people=False):
    """Of all recordings but one, or of what people posted alone, lenient cases with it."""
    count = Count()
    for unit, (of, right) in by_unit.items():
        is_counted = unit.split(" ")[0] in ("lenient", "posted", "report") if of_people else not is_lenient(unit)
        if unit != without and is_counted:
            count.add(of, right, cell[1])
    return count


def monotone(values, weights):
    """The nearest values that never fall, by pooling neighbours that do."""
    blocks = []
    for value, mass in zip(values, weights):
        blocks.append([value, mass, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            value, mass, size = blocks.pop()
            before = blocks[-1]
            before[0] = (before[0] * before[1] + value * mass) / (before[1] + mass)
            before[1] += mass
            before[2] += size
    return [value for value, _, size in blocks for _ in range(size)]


def mean_over_rules(cells, prior, strength):
    """The mean of what rules are worth, each counted the more the more often it was seen; and how many rules that is."""
    mass, worth = strength, strength * prior
    for count in cells:
        share = count.weight / (count.weight + HALF)
        mass += share
        worth += share * (count.right_weight + DOUBT * prior) / (count.weight + DOUBT)
    return worth / mass, mass


def overall(by_cell, sights):
    """What each standing is worth, whatever of these is in sight."""
    of_all = [count for (_, completeness), cell in by_cell.items() if completeness in sights for count in cell]
    of_any, _ = mean_over_rules(of_all, 0.5, 1.0)
    found = []
    for standing in STANDINGS:
        cells = [count for completeness in sights for count in by_cell[standing, completeness]]
        found.append(mean_over_rules(cells, of_any, PRIOR_OF_ALL))
    return monotone([value for value, _ in found], [mass for _, mass in found])


def pools(table, standing_of, of_people):
    """What a rule is worth of which only the standing is known: {(standing, completeness): probability}.

    `of_people` are the counts of what people posted: of one log alone, that says what a standing is worth elsewhere.
    """
    by_cell = collections.defaultdict(list)
    for (rule, completeness), count in table.items():
        if count.of:
            by_cell[standing_of[rule], completeness].append(count)
    found = {}
    # One that is outranked is mostly wrong: it tells nothing of what it is worth in the lead.
    led = [completeness for completeness in COMPLETENESS if completeness != "outranked"]
    elsewhere = collections.defaultdict(list, {cell: counts for cell, counts in by_cell.items() if cell[1] not in ALONE})
    for (rule, completeness), count in of_people.items():
        if count.of:
            elsewhere[standing_of[rule], completeness].append(count)
    of_several = overall(elsewhere, led)
    of_one = overall(by_cell, ALONE)
    for completeness in COMPLETENESS:
        level = []
        for standing, prior in zip(STANDINGS, of_one if completeness in ALONE else of_several):
            prior = prior if completeness != "outranked" else OUTRANKED
            level.append(mean_over_rules(by_cell[standing, completeness], prior, PRIOR_RULES))
        level = monotone([value for value, _ in level], [mass for _, mass in level])
        found.update({(standing, completeness): value for standing, value in zip(STANDINGS, level)})
    # With so much in sight nothing was ever seen: then no standing is worth more than where it is worth least.
    seen = {completeness for (_, completeness), cells in by_cell.items() if cells}
    for completeness in set(led) - seen:
        for standing in STANDINGS:
            least = min((found[standing, other] for other in led if other in seen), default=0.5)
            found[standing, completeness] = least
    return found


def smoothed(count, prior, completeness):
    """A rule's own count, smoothed toward what its standing is worth."""
    strength = PRIOR_ALONE if completeness in ALONE else PRIOR
    return (count.right_weight + strength * prior) / (count.weight + strength)


def estimate(by_cell, standing_of, without=None):
    """A table out of all recordings but one: what standings are worth, and a function of rule and completeness."""
    table = {cell: total(cell, by_unit, without) for cell, by_unit in by_cell.items()}
    alone = [(cell, by_unit) for cell, by_unit in by_cell.items() if cell[1] in ALONE]
    of_people = {cell: total(cell, by_unit, without, of_people=True) for cell, by_unit in alone}
    of_standing = pools(table, standing_of, of_people)

    def probability(rule, completeness):
        prior = of_standing[standing_of[rule], completeness]
        return smoothed(table.get((rule, completeness), Count()), prior, completeness)

    return table, of_standing, probability
