"""Changes that no column shows alone, seen by looking at all of them together.

========================  ===========================================================  =========
module                    question                                                     null
========================  ===========================================================  =========
``classifier``            can current rows be told from reference rows?                rows are
                                                                                       alike
``reconstruction``        do rows still lie where the reference's components put them? windows
                                                                                       vary
``correlation``           do pairs of columns still go together as they did?           either
========================  ===========================================================  =========

Each takes a `homeostat.stats.encoding.Table` per window and returns a frozen result: statistic,
p-value, effect, the columns or pairs to blame and a reason for people. Turning results into
verdicts, with evidence over time and an alarm budget, is the caller's. Where "rows are alike" is
the null, windows of healthy traffic that differ by weekday or batch are a change like any other.
"""
