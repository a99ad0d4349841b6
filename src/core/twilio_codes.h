/*
 * twilio_codes.h: Twilio's error codes, and what each means for the user and for the next attempt.
 */
#ifndef VA_CORE_TWILIO_CODES_H
#define VA_CORE_TWILIO_CODES_H

enum twilio_rest_kind
{
	TWILIO_REST_PERMANENT, /* this request will never do */
	TWILIO_REST_SETUP, /* nothing of this account will do until somebody changes something */
	TWILIO_REST_LATER, /* not now: the same request may do later */
	TWILIO_REST_GONE, /* what it is about is over, or not there */
	TWILIO_REST_REFUSED /* the person does not want to hear from us */
};

struct twilio_rest_code
{
	int code;
	enum twilio_rest_kind kind;
	const char *meaning; /* what has happened */
	const char *hint; /* what to do about it */
};

/* NULL for a code that is not known here. */
const struct twilio_rest_code *twilio_rest_code(int code);
/* All of them by rising code; the last has code 0. */
extern const struct twilio_rest_code twilio_rest_codes[];

#endif
