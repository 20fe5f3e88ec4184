from core.domain.report import EvaluationReport, MembershipScore
from core.packaging.metric_notes import MetricNote, note_of

MEMBERSHIP_NOTES: dict[str, MetricNote] = {
    "loss": MetricNote("Loss", "Sorts texts by how much they surprise the model."),
    "compressed_loss": MetricNote(
        "Compressed loss", "Sorts by surprise for how much a text has to say, measured by how far it compresses."
    ),
    "min_k": MetricNote("Min-K%", "Sorts by the most surprising pieces of a text alone."),
    "min_k_plus": MetricNote(
        "Min-K%++", "The same, each piece measured by what else the model found likely in its place."
    ),
    "reference_difference": MetricNote(
        "Difference to a reference", "Sorts by how much more a text surprises this model than one that never saw it."
    ),
    "priv_leak": MetricNote("PrivLeak", "How far Min-K% is from what it is under a model that never saw the texts."),
    "tpr_at_1pct_fpr": MetricNote(
        "Found at 1 % false alarms", "The share of forget items found when one holdout item of a hundred may be blamed."
    ),
}

CI95_METHODS = {"delong": "DeLong", "clopper_pearson": "Clopper-Pearson"}


def membership_note(name: str) -> MetricNote:
    """Return the note; a score without one is shown by its own name rather than hidden."""
    return MEMBERSHIP_NOTES.get(
        name, MetricNote(name.replace("_", " ").capitalize(), "Described in the documentation.")
    )


def reading(score: MembershipScore) -> str:
    """Return what an AUC says, from its interval: both sides of 0.5 tell on a text."""
    low, high = score.ci95
    if low > 0.5:
        return "still recognisable"
    if high < 0.5:
        return "over-unlearned"
    return "not told apart"


def over_unlearned_sentence(report: EvaluationReport) -> str | None:
    """Return that the model knows less of the texts now than of texts it never saw, and by what; None: by nothing."""
    if report.over_unlearned is None or not report.over_unlearned.scores:
        return None
    titles = [
        (membership_note(score.name) if score.kind == "membership" else note_of(score.name)).title
        for score in report.over_unlearned.scores
    ]
    by = " and ".join(filter(None, [", ".join(titles[:-1]), titles[-1]]))
    return (
        f"The texts are over-unlearned: by {by}, the model makes less of them now than of texts it has never seen, "
        "which can itself give away that they were deleted. The verdict does not rest on this."
    )
