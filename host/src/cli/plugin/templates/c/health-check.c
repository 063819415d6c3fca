// A health check: the whole number `depth` in a JSON document, compared with a limit.
//
// Everything that a call allocates is gone at the next call (see memory.c): nothing here
// needs to be freed. What lasts is static.

#include "health_check_plugin.h"
#include "json.h"
#include "memory.h"
#include "text.h"

#define STATE_VERSION 1

typedef health_check_plugin_string_t string;
typedef exports_kennel_plugin_health_check_verdict_t verdict_t;

#define HEALTHY EXPORTS_KENNEL_PLUGIN_HEALTH_CHECK_STATUS_HEALTHY
#define DEGRADED EXPORTS_KENNEL_PLUGIN_HEALTH_CHECK_STATUS_DEGRADED
#define LATE EXPORTS_KENNEL_PLUGIN_HEALTH_CHECK_STATUS_LATE
#define UNHEALTHY EXPORTS_KENNEL_PLUGIN_HEALTH_CHECK_STATUS_UNHEALTHY

static char url[1024];
static size_t url_len;
static int64_t limit;

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
  struct text new_url = {0};
  int64_t new_limit = 0;
  bool has_limit = false;
  struct json_fields fields = json_fields((struct text){(char *)config->ptr, config->len});
  while (json_next(&fields)) {
    if (text_is(fields.key, "url"))
      new_url = json_string(fields.value);
    else if (text_is(fields.key, "limit"))
      has_limit = json_whole(fields.value, &new_limit);
    else
      problem(fields.key, "is not known; there are url and limit");
  }
  if (fields.broken)
    problem(text_of(""), "must be a table of keys");
  if (!text_begins(new_url, "http://") && !text_begins(new_url, "https://"))
    problem(text_of("url"), "must be an address that starts with http:// or https://");
  else if (new_url.len > sizeof url)
    problem(text_of("url"), "is too long");
  if (!has_limit)
    problem(text_of("limit"), "must be a whole number");
  if (problems.len == 0) {
    memcpy(url, new_url.ptr, new_url.len);
    url_len = new_url.len;
    limit = new_limit;
  } else {
    *err = problems;
  }
  memory_end_of_call();
  return problems.len == 0;
}

// -- the check -------------------------------------------------------------------------

static verdict_t verdict(uint8_t status, struct text reason) {
  return (verdict_t){.status = status, .reason = as_string(reason)};
}

// What an older or newer version of this plugin has saved is not understood.
static bool last_depth(const exports_kennel_plugin_health_check_input_t *input, int64_t *last) {
  const kennel_plugin_types_saved_state_t *state = &input->state.val;
  return input->state.is_some && state->version == STATE_VERSION &&
         json_whole((struct text){(char *)state->bytes.ptr, state->bytes.len}, last);
}

// Over the limit is degraded; still there and not falling is unhealthy.
static verdict_t judged(int64_t depth, bool has_last, int64_t last) {
  if (depth <= limit)
    return verdict(HEALTHY, text_format("depth %d, limit %d", depth, limit));
  if (has_last && last > limit && depth >= last)
    return verdict(UNHEALTHY, text_format("depth %d is over the limit of %d and does not fall",
                                          depth, limit));
  return verdict(DEGRADED, text_format("depth %d is over the limit of %d", depth, limit));
}

static bool depth_in(struct text body, int64_t *depth) {
  bool found = false;
  struct json_fields fields = json_fields(body);
  while (json_next(&fields))
    if (text_is(fields.key, "depth"))
      found = json_whole(fields.value, depth);
  return found && !fields.broken;
}

// Dead is not slow, and what says nothing of the service is no verdict at all: then this
// returns false.
static bool verdict_of_failure(const kennel_plugin_probe_probe_error_t *error, verdict_t *ret,
                               string *err) {
  // Every case that has a string has it at the same place.
  struct text detail = {(char *)error->val.other.ptr, error->val.other.len};
  switch (error->tag) {
  case KENNEL_PLUGIN_PROBE_PROBE_ERROR_TIMEOUT:
    *ret = verdict(LATE, text_of("no answer in time"));
    return true;
  case KENNEL_PLUGIN_PROBE_PROBE_ERROR_CONNECT:
    *ret = verdict(UNHEALTHY, text_join("cannot connect: ", detail));
    return true;
  case KENNEL_PLUGIN_PROBE_PROBE_ERROR_TLS:
    *ret = verdict(UNHEALTHY, text_join("TLS failed: ", detail));
    return true;
  case KENNEL_PLUGIN_PROBE_PROBE_ERROR_PROTOCOL:
    *ret = verdict(UNHEALTHY, text_join("not a valid answer: ", detail));
    return true;
  case KENNEL_PLUGIN_PROBE_PROBE_ERROR_TOO_LARGE:
    *ret = verdict(UNHEALTHY, text_of("the answer is too large"));
    return true;
  case KENNEL_PLUGIN_PROBE_PROBE_ERROR_DENIED:
    *err = as_string(text_join("not granted: ", detail));
    return false;
  case KENNEL_PLUGIN_PROBE_PROBE_ERROR_DNS:
    *err = as_string(text_join("cannot resolve the name: ", detail));
    return false;
  default:
    *err = as_string(text_join("the probe failed: ", detail));
    return false;
  }
}

static void tell(int64_t depth) {
  static health_check_plugin_tuple2_string_string_t field;
  field.f0 = as_string(text_of("depth"));
  field.f1 = as_string(text_format("%d", depth, 0));
  string message = as_string(text_of("measured"));
  kennel_plugin_log_attributes_t fields = {&field, 1};
  kennel_plugin_log_write(KENNEL_PLUGIN_TYPES_SEVERITY_DEBUG, &message, &fields);
}

static bool check(const exports_kennel_plugin_health_check_input_t *input, verdict_t *ret,
                  string *err) {
  kennel_plugin_probe_http_request_t request = {
      .method = as_string(text_of("GET")),
      .url = as_string((struct text){url, url_len}),
  };
  kennel_plugin_probe_http_response_t answer;
  kennel_plugin_probe_probe_error_t error;
  if (!kennel_plugin_probe_http(&request, &answer, &error))
    return verdict_of_failure(&error, ret, err);
  if (answer.status != 200) {
    *ret = verdict(UNHEALTHY, text_format("HTTP %d", answer.status, 0));
    return true;
  }
  int64_t depth, last = 0;
  if (!depth_in((struct text){(char *)answer.body.ptr, answer.body.len}, &depth)) {
    *ret = verdict(UNHEALTHY, text_of("no whole number \"depth\" in the answer"));
    return true;
  }
  tell(depth);
  bool has_last = last_depth(input, &last);
  *ret = judged(depth, has_last, last);
  kennel_plugin_types_sample_t *sample = memory_take(sizeof *sample);
  *sample = (kennel_plugin_types_sample_t){.name = as_string(text_of("depth")), .value = depth};
  ret->samples = (exports_kennel_plugin_health_check_list_sample_t){sample, 1};
  struct text saved = text_format("%d", depth, 0);
  ret->state = (exports_kennel_plugin_health_check_option_saved_state_t){
      true, {STATE_VERSION, {(uint8_t *)saved.ptr, saved.len}}};
  return true;
}

// Asked at the pace that services.yaml says. Returns false when the check could not be made.
bool exports_kennel_plugin_health_check_check(exports_kennel_plugin_health_check_input_t *input,
                                              verdict_t *ret, string *err) {
  bool made = check(input, ret, err);
  memory_end_of_call();
  return made;
}
