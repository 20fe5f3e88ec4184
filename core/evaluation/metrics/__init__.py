"""Every metric by the name it has in reports, policies and file names."""

from core.evaluation.metric import Metric
from core.evaluation.metrics.answer_probability import AnswerProbability
from core.evaluation.metrics.exact_memorization import ExactMemorization
from core.evaluation.metrics.extraction_likelihood import ExtractionLikelihood
from core.evaluation.metrics.extraction_strength import ExtractionStrength
from core.evaluation.metrics.longest_correct_run import LongestCorrectRun
from core.evaluation.metrics.memorization_accuracy import MemorizationAccuracy
from core.evaluation.metrics.perplexity import Perplexity
from core.evaluation.metrics.rouge_l_recall import RougeLRecall
from core.evaluation.metrics.verbatim_completion import VerbatimCompletion

METRICS: dict[str, Metric] = {
    "memorization_accuracy": MemorizationAccuracy(),
    "extraction_likelihood": ExtractionLikelihood(),
    "extraction_strength": ExtractionStrength(),
    "exact_memorization": ExactMemorization(),
    "longest_correct_run": LongestCorrectRun(),
    "verbatim_completion": VerbatimCompletion(),
    "rouge_l_recall": RougeLRecall(),
    "answer_probability": AnswerProbability(),
    "perplexity": Perplexity(),
}
