/*
 * bant.h: how promising a lead is, from 0 to 1, and whether that is hot, warm or cold.
 *
 * Five signals (budget, authority, need, timeline, engagement), each from 0 to 1, are weighed and
 * added. The signals come from a language model, a form or a person, so each is read from a
 * loosely typed value with an error that names it; weights and thresholds are a tenant's own.
 *
 * What holds for every input: the score is between 0 and 1; a higher signal never gives a lower
 * score; a signal nobody has heard of yet counts as 0, because a lead is scored by the evidence
 * there is (were the rest scaled up instead, the first yes would make every lead hot, and the next
 * honest "perhaps" would cool it). Scores and thresholds are compared after rounding to 1e-9: sums
 * of decimals miss 0.75 by an ulp on either side, and "hot from 0.75" must include 0.75.
 */
#ifndef VA_CORE_BANT_H
#define VA_CORE_BANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

enum bant_part
{
	BANT_BUDGET,
	BANT_AUTHORITY,
	BANT_NEED,
	BANT_TIMELINE,
	BANT_ENGAGEMENT,
	BANT_PARTS
};

enum bant_temperature
{
	BANT_COLD,
	BANT_WARM,
	BANT_HOT,
	BANT_TEMPERATURES
};

struct bant_signal
{
	bool present;
	double value; /* 0..1 */
};

struct bant_signals
{
	struct bant_signal part[BANT_PARTS];
};

/*
 * What a tenant may change. Weights are relative: they are divided by their sum, so that a tenant
 * can make budget count double without restating the other four, and so that the score stays
 * within 0..1 whatever was entered.
 */
struct bant_criteria
{
	double weight[BANT_PARTS]; /* each 0..BANT_WEIGHT_MAX, together at least BANT_WEIGHT_SUM_MIN */
	double hot; /* 0..1, hot from this score */
	double warm; /* 0..1, less than hot */
};

#define BANT_WEIGHT_MAX 1000.0
#define BANT_WEIGHT_SUM_MIN 0.001

/* A score with its parts. The contributions add up to the score, but for rounding (< 1e-8). */
struct bant_result
{
	double score; /* 0..1, rounded to 1e-9 */
	enum bant_temperature temperature;
	struct
	{
		bool present;
		double value; /* as used: 0 when missing */
		double weight; /* after division by the sum */
		double contribution; /* value times weight, rounded to 1e-9 */
	} part[BANT_PARTS];
};

/* A value of unknown type, as it stands in a JSON object. */
enum bant_kind
{
	BANT_NULL,
	BANT_BOOLEAN,
	BANT_NUMBER,
	BANT_TEXT,
	BANT_ARRAY,
	BANT_OBJECT
};

struct bant_value
{
	enum bant_kind kind;
	bool boolean;
	double number;
	const char *text; /* need not end in NUL */
	size_t len;
};

/* What is known of a lead's dealings with us. Negative numbers are taken as 0. */
struct bant_activity
{
	int64_t calls; /* answered calls, either direction */
	int64_t seconds; /* talked in them, together */
	int64_t turns; /* times the lead spoke */
	int64_t messages; /* received from the lead, on any text channel */
	int64_t replies; /* those that answer one of ours */
	double days_since_contact; /* since the last call or message; NaN when there was none */
};

/* "budget_mentioned" and so on: the names in qualification_data and in criteria. */
const char *bant_part_name(enum bant_part part);
/* "hot", "warm", "cold". */
const char *bant_temperature_name(enum bant_temperature temperature);
/* The part or temperature of that name; -1 when there is none. */
int bant_part_find(const char *name, size_t len);
int bant_temperature_find(const char *name, size_t len);

/*
 * Reads one signal. null, an empty text and a text of spaces are a missing signal; true and false
 * are 1 and 0, in words too ("true", "Yes", "no"); a number must be between 0 and 1, as must one in
 * a text ("0.8", "1e-1"; the decimal point is a point in every locale). Anything else is false
 * with *err naming the part: NaN, infinity, 80, "80%", "soon", arrays, objects.
 */
bool bant_signal_read(enum bant_part part, const struct bant_value *value,
					  struct bant_signal *signal, struct va_error *err);

/* The product's own weights and thresholds. */
void bant_criteria_default(struct bant_criteria *criteria);

/*
 * Changes one weight (by the part's name) or threshold ("hot", "warm", or "hot_lead_threshold",
 * "warm_lead_threshold"; "cold" is allowed when it is 0). Settings are written by people who can
 * mend them, so here only numbers are taken; null leaves the setting as it is. False, with *err
 * naming the member, for an unknown name, another type, or a number out of range.
 */
bool bant_criteria_set(struct bant_criteria *criteria, const char *name, size_t len,
					   const struct bant_value *value, struct va_error *err);

/* Do the criteria make sense as a whole? To be asked once after the last change. */
bool bant_criteria_check(const struct bant_criteria *criteria, struct va_error *err);

/*
 * Weighs the signals. criteria must have passed bant_criteria_check. A value outside 0..1 is cut,
 * NaN counts as missing: this function cannot fail.
 */
void bant_score(const struct bant_signals *signals, const struct bant_criteria *criteria,
				struct bant_result *result);

/*
 * Engagement from activity, 0..1: nothing here is guessed by a language model.
 *
 *   voice = 0.25 * upto(calls, 3) + 0.40 * upto(seconds, 600) + 0.35 * upto(turns, 20)
 *   text  = 0.50 * upto(messages, 5) + 0.50 * upto(replies, 3)
 *   engagement = (1 - (1 - voice) * (1 - text)) * recency
 *
 * upto(x, full) is min(x, full) / full; recency is 1 for a week and 30 / (30 + further days) after
 * that: one half after 37 days. Either way of talking alone can reach 1, both together never give
 * less than one. Never falls with a count, never rises with the days.
 */
double bant_engagement(const struct bant_activity *activity);

#endif
