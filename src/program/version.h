/*
 * version.h: the version of the program, as in voiceagent.control.
 */
#ifndef VA_PROGRAM_VERSION_H
#define VA_PROGRAM_VERSION_H

#ifndef VOICEAGENT_VERSION
#define VOICEAGENT_VERSION "0.2"
#endif

#endif
