/*
 * twilio_codes.c: Twilio's error codes in plain words.
 *
 * Those that users of calls and messages meet. What a code means for the next attempt is its kind;
 * a code that is not here is judged by the HTTP status alone and keeps Twilio's own words.
 *
 * Source: twilio.com/docs/api/errors, one page a code.
 */
#include "core/twilio_codes.h"

#include <stdlib.h>

#define CREDENTIALS                                                                                \
	"Set the tenant's secret twilio_auth_token and the setting twilio_account_sid as the first "   \
	"page of the Twilio console shows them."
#define CALLER_NUMBER                                                                              \
	"Call from a number that this Twilio account owns or has verified, and look whether it is "    \
	"allowed to make calls."
#define GEO                                                                                        \
	"Allow the country under Geo permissions in the Twilio console, for voice or for messaging."
#define SENDER "Send from a number of this account that can send messages of this channel."
#define TEMPLATE                                                                                   \
	"Compare the template's variables in the Twilio console with the tenant's setting "            \
	"whatsapp_templates and the message's template_data."

const struct twilio_rest_code twilio_rest_codes[] = {
	{11200, TWILIO_REST_PERMANENT, "Twilio could not fetch our document",
	 "See whether voiceagent.public_url is right and the gateway is reachable from the internet."},
	{11205, TWILIO_REST_PERMANENT, "Twilio could not connect to us",
	 "See whether voiceagent.public_url is right and the gateway is reachable from the internet."},
	{12100, TWILIO_REST_PERMANENT, "Twilio could not read our document",
	 "Report this: the TwiML is at fault."},
	{13223, TWILIO_REST_PERMANENT, "the number to be called has no valid format",
	 "Correct the number; it needs a plus sign and the country code."},
	{13224, TWILIO_REST_PERMANENT, "the number to be called is not valid",
	 "Correct the number; Twilio knows none such."},
	{13225, TWILIO_REST_PERMANENT, "Twilio does not call this number",
	 "Numbers for emergencies, premium services and the like cannot be called."},
	{13227, TWILIO_REST_SETUP, "calls to this country are not allowed", GEO},
	{20001, TWILIO_REST_PERMANENT, "Twilio found a parameter to be wrong",
	 "Twilio's own words say which."},
	{20003, TWILIO_REST_SETUP, "Twilio does not accept our credentials", CREDENTIALS},
	{20005, TWILIO_REST_SETUP, "the Twilio account is not active",
	 "Look at the account's state and its balance in the Twilio console."},
	{20006, TWILIO_REST_SETUP, "the Twilio account may not do this",
	 "Use credentials that may, or ask Twilio's support."},
	{20008, TWILIO_REST_SETUP, "these are test credentials",
	 "Set the live account SID and auth token."},
	{20404, TWILIO_REST_GONE, "Twilio does not know what the request is about",
	 "The call or recording is over or deleted, or belongs to another account."},
	{20409, TWILIO_REST_LATER, "another request was changing the same thing", "Nothing."},
	{20429, TWILIO_REST_LATER, "too many requests at once",
	 "It is tried again by itself. If this goes on, lower the dialling rate."},
	{21201, TWILIO_REST_PERMANENT, "no number to be called was given", "Give the lead a number."},
	{21205, TWILIO_REST_SETUP, "the address for call-backs is not valid",
	 "Set voiceagent.public_url to an https address that Twilio can reach."},
	{21210, TWILIO_REST_SETUP, "the calling number is not verified", CALLER_NUMBER},
	{21211, TWILIO_REST_PERMANENT, "the number is not valid",
	 "Correct the lead's number; it needs a plus sign and the country code."},
	{21212, TWILIO_REST_SETUP, "the calling number is not valid", CALLER_NUMBER},
	{21213, TWILIO_REST_SETUP, "no calling number was given", CALLER_NUMBER},
	{21214, TWILIO_REST_PERMANENT, "the number cannot be reached",
	 "Ask the lead for another number: no carrier connects this one."},
	{21215, TWILIO_REST_SETUP, "calls to this country or number are not allowed", GEO},
	{21216, TWILIO_REST_PERMANENT, "calls to this number are not allowed",
	 "Twilio blocks this number; ask the lead for another one."},
	{21217, TWILIO_REST_PERMANENT, "the number is not valid",
	 "Correct the lead's number; it needs a plus sign and the country code."},
	{21219, TWILIO_REST_SETUP, "a trial account calls and writes to verified numbers only",
	 "Verify the number in the Twilio console, or upgrade the account."},
	{21220, TWILIO_REST_GONE, "the call is in no state for this", "The call is over already."},
	{21262, TWILIO_REST_PERMANENT, "no address for the verdict on answering machines",
	 "Set voiceagent.public_url."},
	{21401, TWILIO_REST_PERMANENT, "the number is not valid", "Correct the number."},
	{21408, TWILIO_REST_SETUP, "messages to this country are not allowed", GEO},
	{21421, TWILIO_REST_PERMANENT, "the number is not valid", "Correct the number."},
	{21601, TWILIO_REST_SETUP, "the sending number cannot send messages", SENDER},
	{21602, TWILIO_REST_PERMANENT, "the message has no text",
	 "Give it a text, a file or a template."},
	{21603, TWILIO_REST_SETUP, "no sending number was given", SENDER},
	{21604, TWILIO_REST_PERMANENT, "no number to be written to was given",
	 "Give the lead a number."},
	{21606, TWILIO_REST_SETUP, "the sending number cannot write to this number", SENDER},
	{21608, TWILIO_REST_SETUP, "a trial account writes to verified numbers only",
	 "Verify the number in the Twilio console, or upgrade the account."},
	{21609, TWILIO_REST_SETUP, "the address for call-backs is not valid",
	 "Set voiceagent.public_url to an https address that Twilio can reach."},
	{21610, TWILIO_REST_REFUSED, "the person has opted out of messages from this number",
	 "Nothing: the address is on the do-not-contact list now. The person may write START."},
	{21611, TWILIO_REST_LATER, "the sending number's queue is full",
	 "It is tried again by itself. If this goes on, use more numbers or a messaging service."},
	{21612, TWILIO_REST_PERMANENT, "no route from the sending number to this number",
	 "Send from a number of another kind or country, or by another channel."},
	{21614, TWILIO_REST_PERMANENT, "the number is not a mobile number",
	 "Write to a mobile number, or call instead."},
	{21617, TWILIO_REST_PERMANENT, "the text is longer than 1600 characters", "Shorten the text."},
	{21619, TWILIO_REST_PERMANENT, "the message has neither text nor file",
	 "Give it a text, a file or a template."},
	{21620, TWILIO_REST_PERMANENT, "the address of a file is not valid",
	 "Files need a public https address."},
	{21623, TWILIO_REST_PERMANENT, "too many files", "Send at most ten files."},
	{21655, TWILIO_REST_SETUP, "the template's SID is not valid", TEMPLATE},
	{21656, TWILIO_REST_PERMANENT, "the template's variables are not valid", TEMPLATE},
	{21703, TWILIO_REST_SETUP, "the messaging service has no number that can send this", SENDER},
	{22005, TWILIO_REST_LATER, "more than a day of calls is waiting at Twilio",
	 "It is tried again by itself. Lower the dialling rate."},
	{30001, TWILIO_REST_LATER, "the message waited too long in a queue",
	 "Send more slowly, or from more numbers."},
	{30002, TWILIO_REST_SETUP, "the account was suspended while the message waited",
	 "Look at the account's state in the Twilio console."},
	{30003, TWILIO_REST_PERMANENT, "the phone is switched off or unreachable",
	 "Try again another day, or by another channel."},
	{30004, TWILIO_REST_PERMANENT, "the carrier or the person blocks the message",
	 "Do not try again; use another channel the person has agreed to."},
	{30005, TWILIO_REST_PERMANENT, "nobody has this number", "Ask the lead for another number."},
	{30006, TWILIO_REST_PERMANENT, "a landline, or a carrier that takes no messages",
	 "Write to a mobile number, or call instead."},
	{30007, TWILIO_REST_PERMANENT, "the carrier filtered the message as unwanted",
	 "Change the text, register the sender, and send only to people who have agreed."},
	{30008, TWILIO_REST_PERMANENT, "the message was not delivered, and the carrier says not why",
	 "Look whether the number is right; try another channel."},
	{30010, TWILIO_REST_PERMANENT, "the message costs more than the limit allows",
	 "Raise the limit, or shorten the message."},
	{30019, TWILIO_REST_PERMANENT, "a file is larger than the carrier takes",
	 "Send a smaller file, or a link."},
	{30022, TWILIO_REST_LATER, "the carrier's limit of messages a minute is reached",
	 "Send more slowly."},
	{30023, TWILIO_REST_LATER, "the carrier's limit of messages a day is reached",
	 "Send the rest tomorrow, or raise the brand's trust score."},
	{30032, TWILIO_REST_SETUP, "the toll-free number is not verified",
	 "Verify it in the Twilio console."},
	{30034, TWILIO_REST_SETUP, "the number is not registered for messages in the United States",
	 "Register brand and campaign (A2P 10DLC) in the Twilio console."},
	{30410, TWILIO_REST_LATER, "the carrier did not answer in time", "Try again later."},
	{30450, TWILIO_REST_PERMANENT, "Twilio suspects fraud with messages to this number",
	 "Look at the fraud protection in the Twilio console."},
	{63003, TWILIO_REST_PERMANENT, "the channel does not know this address",
	 "The person may not use WhatsApp; write by another channel."},
	{63005, TWILIO_REST_PERMANENT, "the channel refused the content",
	 "Change the text or the file."},
	{63007, TWILIO_REST_SETUP, "the number is not set up for WhatsApp",
	 "Register the number as a WhatsApp sender in the Twilio console."},
	{63013, TWILIO_REST_PERMANENT, "the message breaks the channel's rules",
	 "Change the text or the template."},
	{63016, TWILIO_REST_PERMANENT,
	 "more than 24 hours after the person's last message WhatsApp takes templates only",
	 "Name an approved template in the tenant's setting whatsapp_templates and in the message."},
	{63018, TWILIO_REST_LATER, "the channel's rate limit is reached",
	 "It is tried again by itself. Send more slowly."},
	{63019, TWILIO_REST_PERMANENT, "a file could not be fetched",
	 "Files need a public https address that answers at once."},
	{63021, TWILIO_REST_PERMANENT, "the channel found the content not to be valid", TEMPLATE},
	{63024, TWILIO_REST_PERMANENT, "the address is not valid for this channel",
	 "The person may not use WhatsApp; write by another channel."},
	{63032, TWILIO_REST_REFUSED, "WhatsApp does not deliver this to this person",
	 "Use another channel the person has agreed to."},
	{63033, TWILIO_REST_REFUSED, "the person has blocked the sender",
	 "Nothing: the address is on the do-not-contact list now."},
	{63038, TWILIO_REST_LATER, "the account's limit of messages a day is reached",
	 "Send the rest tomorrow, or upgrade the account."},
	{0, TWILIO_REST_PERMANENT, NULL, NULL},
};

static int
by_code(const void *key, const void *entry)
{
	const int *code = key;
	const struct twilio_rest_code *one = entry;

	return (*code > one->code) - (*code < one->code);
}

const struct twilio_rest_code *
twilio_rest_code(int code)
{
	size_t count = sizeof(twilio_rest_codes) / sizeof(twilio_rest_codes[0]) - 1;

	return bsearch(&code, twilio_rest_codes, count, sizeof(twilio_rest_codes[0]), by_code);
}
