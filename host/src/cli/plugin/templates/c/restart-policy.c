// A restart policy: some failures will not go away, and short runs need longer pauses.
//
// Everything that a call allocates is gone at the next call (see memory.c): nothing here
// needs to be freed. What lasts is static.

#include "json.h"
#include "memory.h"
#include "restart_policy_plugin.h"
#include "text.h"

#define STATE_VERSION 1

// A run that ended sooner did no work.
#define SHORT_RUN_MS 10000

typedef restart_policy_plugin_string_t string;
typedef exports_kennel_plugin_restart_policy_decision_t decision_t;

#define USE_DEFAULT EXPORTS_KENNEL_PLUGIN_RESTART_POLICY_ACTION_USE_DEFAULT
#define RESTART_AFTER_MS EXPORTS_KENNEL_PLUGIN_RESTART_POLICY_ACTION_RESTART_AFTER_MS
#define GIVE_UP EXPORTS_KENNEL_PLUGIN_RESTART_POLICY_ACTION_GIVE_UP

static int64_t hopeless;
static int64_t pause_ms;

static string as_string(struct text text) {
  return (string){(uint8_t *)text.ptr, text.len};
}

// -- configuration ---------------------------------------------------------------------

static exports_kennel_plugin_lifecycle_list_problem_t problems;

static void problem(struct text path, const char *message) {
  // Eight are enough to see what is wrong.
  if (problems.len < 8)
    problems.ptr[problems.len++] = (exports_kennel_plugin_lifecycle_problem_t){
        as_string(path), as_string(text_of(message))};
}

// Returns false, with all problems, when the plugin cannot work with this configuration.
bool exports_kennel_plugin_lifecycle_configure(
    string *config, exports_kennel_plugin_lifecycle_list_problem_t *err) {
  problems.ptr = memory_take(8 * sizeof *problems.ptr);
  problems.len = 0;
  int64_t new_hopeless = -1, new_pause_ms = -1;
  struct json_fields fields = json_fields((struct text){(char *)config->ptr, config->len});
  while (json_next(&fields)) {
    if (text_is(fields.key, "hopeless"))
      json_whole(fields.value, &new_hopeless);
    else if (text_is(fields.key, "pause_ms"))
      json_whole(fields.value, &new_pause_ms);
    else
      problem(fields.key, "is not known; there are hopeless and pause_ms");
  }
  if (fields.broken)
    problem(text_of(""), "must be a table of keys");
  if (new_hopeless < 0)
    problem(text_of("hopeless"), "must be a whole number");
  if (new_pause_ms < 0)
    problem(text_of("pause_ms"), "must be a whole number");
  if (problems.len == 0) {
    hopeless = new_hopeless;
    pause_ms = new_pause_ms;
  } else {
    *err = problems;
  }
  memory_end_of_call();
  return problems.len == 0;
}

// -- the policy ------------------------------------------------------------------------

// What an older or newer version of this plugin has saved is not understood.
static int64_t last_short_runs(const exports_kennel_plugin_restart_policy_input_t *input) {
  const kennel_plugin_types_saved_state_t *state = &input->state.val;
  struct text saved = {(char *)state->bytes.ptr, state->bytes.len};
  int64_t count = 0;
  bool known = input->state.is_some && state->version == STATE_VERSION &&
               json_whole(saved, &count) && count >= 0 && count < 1000000;
  return known ? count : 0;
}

static decision_t decision(struct text reason, int64_t short_runs) {
  struct text saved = text_format("%d", short_runs, 0);
  return (decision_t){
      .reason = as_string(reason),
      .state = {true, {STATE_VERSION, {(uint8_t *)saved.ptr, saved.len}}},
  };
}

// Asked when a run has ended, while the built-in delay already runs.
bool exports_kennel_plugin_restart_policy_decide(
    exports_kennel_plugin_restart_policy_input_t *input, decision_t *ret, string *err) {
  (void)err;
  if (input->cause.exit_code.is_some && input->cause.exit_code.val == hopeless) {
    string reason = as_string(text_format("exit code %d will not go away", hopeless, 0));
    *ret = (decision_t){.action = {.tag = GIVE_UP, .val.give_up = reason}, .reason = reason};
  } else if (input->target.uptime_ms >= SHORT_RUN_MS) {
    *ret = decision(text_of("it ran for a while"), 0);
    ret->action.tag = USE_DEFAULT;
  } else {
    int64_t short_runs = last_short_runs(input) + 1;
    *ret = decision(text_format("short runs in a row: %d", short_runs, 0), short_runs);
    ret->action.tag = RESTART_AFTER_MS;
    ret->action.val.restart_after_ms = pause_ms * short_runs;
  }
  memory_end_of_call();
  return true;
}
