/*
 * signals.h: what people and language models write about a lead, as the five signals of bant.
 *
 * Qualification data are free: a budget as a number or in words, a need in a sentence, "within two
 * months". bant wants five numbers. Between them stands this module, two tables: which member tells
 * about which signal, and what the words for "by when" and "who decides" are worth.
 *
 * - A member with bant's own name wins and must be right (see bant_signal_read). Members with the
 *   free names can never fail: what is not understood says little or nothing. Others are not looked
 *   at.
 * - Several free members that tell about the same signal: the strongest counts, so the order in
 *   which members come makes no difference.
 * - The words are English. A conversation in another language is judged by its analysis, which
 *   writes bant's own names.
 *
 * Free names, and what they are worth:
 *   budget      budget, budget_range, max_budget, min_budget, price_range: a number above 0, a text
 *               with a number in figures or words, a range as array or object are 1; other words
 *               ("flexible") 0.5; 0, false, "none", "not sure" are 0
 *   authority   authority, decides, decision, is_decision_maker: yes, alone, "I decide" are 1;
 *               together with somebody, and whatever else is said, 0.5; no, somebody else 0
 *   need        need, needs, requirements, interest, goal, problem, pain_point, looking_for: any
 *               text, list or object is 1; "none", "not sure" are 0
 *   timeline    timeline, timeframe, deadline, urgency, when, move_in: see signals_urgency
 *   A number from 0 to 1 in authority, need or timeline stands for itself; true and false are 1, 0.
 */
#ifndef VA_CORE_SIGNALS_H
#define VA_CORE_SIGNALS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/bant.h"
#include "core/error.h"

#define SIGNALS_TEXT_MAX 400 /* of a longer text only the beginning is read */

struct signals
{
	struct bant_signals bant;
	/* The member that each signal comes from; NULL when there is none. Points to static memory. */
	const char *source[BANT_PARTS];
};

/* No signal at all. */
void signals_init(struct signals *signals);

/*
 * Takes one member of the qualification data. Empty arrays and objects should be handed over as
 * null. False, with *err naming the member, only for one of bant's own names with a wrong value.
 */
bool signals_member(struct signals *signals, const char *name, size_t len,
					const struct bant_value *value, struct va_error *err);

/* Engagement from a lead's dealings, where the data themselves do not tell it. */
void signals_engagement(struct signals *signals, double engagement);

/*
 * How urgent is a text about time? From 0 to 1; -1 for a blank one.
 *
 *   as soon as possible, asap, now, immediately, today, tomorrow, urgent, this week     1
 *   within N days, weeks, months, years (figures or words; of a range the longer):
 *     up to 7 days 1, to 31 days 0.9, to 92 days 0.7, to 183 days 0.5, to 366 days 0.3, later 0.1
 *   next week, this month, next month                                                  0.9
 *   this quarter, next quarter                                                         0.7
 *   this year                                                                          0.5
 *   next year                                                                          0.2
 *   no rush, not urgent, someday, just looking, flexible                               0.1
 *   not sure, unknown, none                                                            0
 *   anything else: a time was told that is not understood                              0.3
 *
 * The first line that fits from below (denials first) counts, so that "not urgent" is not urgent.
 */
double signals_urgency(const char *text, size_t len);

#endif
