/*
 * twilio.h: Twilio's REST API as a provider: calls, messages, participants, recordings.
 */
#ifndef VA_DISPATCHER_TWILIO_H
#define VA_DISPATCHER_TWILIO_H

#include "dispatcher/job.h"

extern const struct provider twilio_provider;

#endif
