from dataclasses import dataclass


@dataclass(frozen=True)
class MetricNote:
    """What a metric says, for a reader who is no engineer."""

    title: str
    sentence: str


METRIC_NOTES: dict[str, MetricNote] = {
    "extraction_strength": MetricNote(
        "Extraction strength",
        "The share of an item that the model completes word for word once it is given the beginning; "
        "1 is known by heart, 0 is nothing.",
    ),
    "memorization_accuracy": MetricNote(
        "Memorization accuracy",
        "How often the model's first guess for the next piece of text is the right one; 1 is always.",
    ),
    "exact_memorization": MetricNote(
        "Exact memorization",
        "How often the first guess is right, counting only the item's own content and not the marks that end a text.",
    ),
    "longest_correct_run": MetricNote(
        "Longest correct run",
        "How many pieces of text in a row the model's first guess gets right, at the longest passage of an item.",
    ),
    "extraction_likelihood": MetricNote(
        "Extraction likelihood",
        "How much of what the model writes on its own, from every possible beginning, are passages of the item.",
    ),
    "verbatim_completion": MetricNote(
        "Verbatim completion",
        "Whether the model writes the answer, or the next passage of a text, word for word; "
        "of a set, the share of items for which it does.",
    ),
    "rouge_l_recall": MetricNote(
        "ROUGE-L recall",
        "How many of the answer's words are, in their order, in what the model writes when it is asked; 1 is all.",
    ),
    "answer_probability": MetricNote(
        "Answer probability",
        "How probable the model finds the item, per piece of text; 1 is certain.",
    ),
    "perplexity": MetricNote(
        "Perplexity",
        "How surprised the model is by the item; 1 is not at all, and larger is more surprised.",
    ),
}

# What is measured under an attack alone, or on the forget set as a whole.
OTHER_NOTES: dict[str, MetricNote] = {
    "exact_match": MetricNote("Exact match", "The share of answers that are the item, word for word."),
    "samples_above_half": MetricNote("Samples above one half", "The share of answers that hold more than half of it."),
    "rouge_l_token_recall": MetricNote(
        "ROUGE-L recall of tokens",
        "How many of the item's pieces of text are, in their order, in the best of the answers; 1 is all of them.",
    ),
    "truth_ratio": MetricNote(
        "Truth ratio",
        "Whether the model prefers the true answer to false ones; 1 is no preference, as of a model that never saw it.",
    ),
    "over_unlearned": MetricNote(
        "Over-unlearning", "Whether the model makes less of the texts than of texts it has never seen."
    ),
}


def note_of(metric: str) -> MetricNote:
    """Return the note; a metric without one is shown by its own name rather than hidden."""
    unknown = MetricNote(metric.replace("_", " ").capitalize(), "Described in the documentation.")
    return METRIC_NOTES.get(metric, OTHER_NOTES.get(metric, unknown))
