/*
 * settings.h: the settings voiceagent.…, defined in settings.c and described in docs/settings.md.
 *
 * The server's side needs few of them; the gateway reads all from pg_settings.
 */
#ifndef VA_WORKER_SETTINGS_H
#define VA_WORKER_SETTINGS_H

#define SETTINGS_MAX_WORKERS 64
#define SETTINGS_MAX_DISPATCHERS 16

extern char *setting_database;
extern char *setting_conninfo;
extern int setting_dispatcher_workers;
extern int setting_gateway_workers;

/* Defines them all. preloaded: the library is loaded by the postmaster; otherwise settings that
 * only a restart may change are defined as the configuration file's, for a session may define no
 * others. */
extern void settings_define(bool preloaded);

#endif
