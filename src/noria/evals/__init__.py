"""Evidence: judges, question sets, battles, and ratings that are exact.

Names are loaded when they are first used; nothing here brings numpy along before that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.lazy import load_on_use

if TYPE_CHECKING:
    from noria.evals.battles import Battles
    from noria.evals.comparisons import (
        McNemar,
        PairedDifference,
        corrected_mean,
        mcnemar,
        mean_interval,
        paired_bootstrap,
        paired_difference,
        questions_needed,
    )
    from noria.evals.decision import Decision, Measure, State
    from noria.evals.judge import CRITERIA, Asker, Judge, Judgement, PairJudgement
    from noria.evals.leaderboard import Leaderboard, Rating, Unrated
    from noria.evals.questions import (
        Question,
        Questions,
        read_questions,
        read_references,
        shipped_questions,
    )
    from noria.evals.rating import rate
    from noria.evals.reading import read_battles
    from noria.evals.reliability import (
        Agreement,
        Judged,
        LengthPreference,
        PositionBias,
        agreement,
        krippendorff_alpha,
        length_preference,
        position_bias,
        repeatability,
        self_preference,
    )
    from noria.evals.scores import WinRate, relative_score, win_rate
    from noria.evals.strength import Reason
    from noria.evals.tally import Tally, WinMatrix
    from noria.evals.verdicts import Verdict, both_orders, parse_verdict

_NAMES_OF = {
    "reliability": "Agreement Judged LengthPreference PositionBias agreement krippendorff_alpha "
    "length_preference position_bias repeatability self_preference",
    "battles": "Battles",
    "comparisons": "McNemar PairedDifference corrected_mean mcnemar mean_interval paired_bootstrap "
    "paired_difference questions_needed",
    "decision": "Decision Measure State",
    "judge": "CRITERIA Asker Judge Judgement PairJudgement",
    "leaderboard": "Leaderboard Rating Unrated",
    "questions": "Question Questions read_questions read_references shipped_questions",
    "rating": "rate",
    "reading": "read_battles",
    "scores": "WinRate relative_score win_rate",
    "strength": "Reason",
    "tally": "Tally WinMatrix",
    "verdicts": "Verdict both_orders parse_verdict",
}

__all__ = [
    "CRITERIA",
    "Agreement",
    "Asker",
    "Battles",
    "Decision",
    "Judge",
    "Judged",
    "Judgement",
    "Leaderboard",
    "LengthPreference",
    "McNemar",
    "Measure",
    "PairJudgement",
    "PairedDifference",
    "PositionBias",
    "Question",
    "Questions",
    "Rating",
    "Reason",
    "State",
    "Tally",
    "Unrated",
    "Verdict",
    "WinMatrix",
    "WinRate",
    "agreement",
    "both_orders",
    "corrected_mean",
    "krippendorff_alpha",
    "length_preference",
    "mcnemar",
    "mean_interval",
    "paired_bootstrap",
    "paired_difference",
    "parse_verdict",
    "position_bias",
    "questions_needed",
    "rate",
    "read_battles",
    "read_questions",
    "read_references",
    "relative_score",
    "repeatability",
    "self_preference",
    "shipped_questions",
    "win_rate",
]
__getattr__ = load_on_use(__name__, _NAMES_OF)
