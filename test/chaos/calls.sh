#!/bin/bash
# calls.sh: what the chaos tests with calls share, on top of the flows' library.
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=../flows/lib.sh
. "$here/../flows/lib.sh"
# shellcheck source=lib.sh
. "$here/lib.sh"

# two_errands: one call through each engine, under the names of their scenarios.
two_errands()
{
  flow_tenant +15551231001 errand "${1:-}" || return 1
  flow_tenant +15551231002 errand-rt "${2:-${1:-}}" || return 1
  ok 'the gateway learns the account' va_wait_until 10 gateway_knows_account
  call_begin errand +15551231001 errand
  call_begin errand-rt +15551231002 errand-rt
}

# under_way NAME ROLE TEXT: this side is in the middle of a sentence that begins with TEXT.
under_way()
{
  va_is_true "SELECT s.state #>> '{partial,$2,text}' LIKE '$3%' FROM conversation_sessions s JOIN calls c ON c.id = s.call_id
    WHERE c.twilio_call_sid = '$(call_sid "$1")'"
}

both_under_way()
{
  under_way errand "$@" && under_way errand-rt "$@"
}

now_ms()
{
  echo $((${EPOCHREALTIME/./} / 1000))
}

# What a conversation must have left, however often it was torn: each sentence of the caller that he
# finished and that was answered, in order, each sentence of the agent that it finished, in order, and
# of the torn ones a beginning that is marked as interrupted.
lost_turns()
{
  row "WITH stored AS (SELECT * FROM test.stored WHERE scenario = '$1'),
    script (n, role, text) AS (VALUES
      (1, 'agent', 'Hello, this is ABC Realty.'),
      (2, 'user', 'Please tell me when your office is open.'),
      (3, 'agent', 'From Monday to Friday we are open from nine in the morning to six in the evening.'),
      (4, 'user', 'And where exactly do I find you, if I come by train from the north?'),
      (5, 'agent', 'Our office is in Main Street, two minutes from the station, beside the old library.'),
      (6, 'user', 'Thank you, goodbye.'),
      (7, 'agent', 'Goodbye!')),
    found AS (SELECT s.n, min(t.n_turn) AS first FROM script s LEFT JOIN stored t ON t.role = s.role
        AND (t.text = s.text AND NOT t.interrupted OR t.interrupted AND t.role = 'agent' AND test.is_beginning(t.text, s.text)) GROUP BY s.n)
    SELECT format('missing: %s', text) FROM script JOIN found USING (n) WHERE first IS NULL
    UNION ALL SELECT format('out of order: %s', text) FROM script JOIN found a USING (n) JOIN found b ON b.n = a.n + 1 WHERE b.first < a.first
    UNION ALL SELECT format('never said: %s', t.text) FROM stored t WHERE NOT EXISTS (SELECT FROM script s WHERE s.role = t.role
        AND (t.text = s.text OR t.interrupted AND test.is_beginning(t.text, s.text)))
      AND NOT EXISTS (SELECT FROM test.dialogue d WHERE d.scenario = '$1' AND d.role = t.role AND d.full_text = t.text)
    UNION ALL SELECT format('said by the agent and not stored: %s', d.full_text) FROM test.dialogue d
      WHERE d.scenario = '$1' AND d.role = 'agent' AND NOT d.interrupted
        AND NOT EXISTS (SELECT FROM stored t WHERE t.role = 'agent' AND t.text = d.full_text)
    UNION ALL SELECT 'turns counted wrongly' FROM calls c JOIN test.results r ON r.call_sid = c.twilio_call_sid
      WHERE r.scenario = '$1' AND conversation_turns IS DISTINCT FROM jsonb_array_length(transcript)"
}

interrupted()
{
  row "SELECT count(*) FROM test.stored WHERE scenario = '$1' AND interrupted AND role = '$2'"
}
