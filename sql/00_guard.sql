\echo Use "CREATE EXTENSION voiceagent" to load this file. \quit
