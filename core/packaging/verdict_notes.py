from dataclasses import dataclass

from core.domain.report import Verdict


@dataclass(frozen=True)
class VerdictNote:
    """A verdict for a reader who is no engineer: what came out and what to do next."""

    headline: str
    summary: str
    next_steps: tuple[str, ...]


VERDICT_NOTES: dict[Verdict, VerdictNote] = {
    Verdict.FORGOTTEN: VerdictNote(
        "Forgotten",
        "With this adapter the model no longer reproduces the texts of the request beyond the limits below, "
        "and it still knows what it was to keep.",
        (
            "Serve the model with this adapter everywhere: without it the texts are back.",
            "Keep this page and the JSON report as evidence, together with the adapter they belong to.",
            "Delete the texts where else they are kept. This report is about one model only.",
        ),
    ),
    Verdict.PARTLY_FORGOTTEN: VerdictNote(
        "Partly forgotten",
        "With this adapter the model still knows what it was to keep, and some of the texts are forgotten, "
        "but not all of them: the request is not fulfilled yet.",
        (
            "Do not close the request: the items named here are not forgotten.",
            "Submit the whole request again, with more steps or another method, so that one adapter answers all of it.",
            "Until then this adapter is better than none: it keeps what it was to keep.",
        ),
    ),
    Verdict.NOT_FORGOTTEN: VerdictNote(
        "Not forgotten",
        "With this adapter the model still reproduces the texts of the request: the request is not fulfilled.",
        (
            "Do not rely on this adapter: it makes no text of the request unreachable.",
            "Submit the request again, with more steps, a higher learning rate or another method.",
        ),
    ),
    Verdict.DAMAGED: VerdictNote(
        "Damaged",
        "With this adapter the model has lost too much of what it was to keep. "
        "The adapter should not be served, whatever it forgot.",
        (
            "Do not serve this adapter. The base model itself is unchanged.",
            (
                "Submit the request again with gentler settings: a lower learning rate, fewer steps, a method that "
                "weighs the retain set more, or a larger retain set."
            ),
            (
                "The request is not fulfilled, even where items count as forgotten: a model that knows nothing any "
                "more has forgotten them too."
            ),
        ),
    ),
    Verdict.NO_ACTION_NEEDED: VerdictNote(
        "No action needed",
        "The model knows the texts of the request no better than texts that it has never seen, item by item. "
        "Nothing was trained and there is no adapter.",
        (
            "There is nothing to install: go on serving the model as it is.",
            "Keep this page and the JSON report as evidence of the answer.",
            "Ask again when the model is replaced or trained further: this holds for the weights named below alone.",
            (
                "If you know that the model was trained on these texts, check that the request words them as they were "
                "there. What was asked is whether the model knows them, not whether it was ever shown them."
            ),
        ),
    ),
}
