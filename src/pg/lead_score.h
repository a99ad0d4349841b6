/*
 * lead_score.h: jsonb as the values of core/bant, for the scoring functions and the trigger.
 */
#ifndef VA_PG_LEAD_SCORE_H
#define VA_PG_LEAD_SCORE_H

#include "utils/jsonb.h"

#include "core/bant.h"
#include "core/signals.h"

/* Reads the qualification data, an object; engagement is NaN where none is known. An error of
 * SQLSTATE VA021 names a member that is wrong. */
extern void lead_signals(Jsonb *data, double engagement, struct signals *signals);

/* The default criteria with the members of an object over them, checked. An error of SQLSTATE
 * VA022 names the member that is wrong. */
extern void lead_criteria(Jsonb *changes, struct bant_criteria *criteria);

#endif
