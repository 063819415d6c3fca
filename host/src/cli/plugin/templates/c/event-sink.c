// An event sink: batches of lines to an HTTP endpoint.
//
// Everything that a call allocates is gone at the next call (see memory.c): nothing here
// needs to be freed. What lasts is static.

#include "event_sink_plugin.h"
#include "json.h"
#include "memory.h"
#include "text.h"

#define RETRY_MS 5000

typedef event_sink_plugin_string_t string;
typedef exports_kennel_plugin_event_sink_failure_t failure_t;

static char url[1024];
static size_t url_len;

static string as_string(struct text text) {
  return (string){(uint8_t *)text.ptr, text.len};
}

static struct text as_text(string string) {
  return (struct text){(char *)string.ptr, string.len};
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
  struct json_fields fields = json_fields(as_text(*config));
  while (json_next(&fields)) {
    if (text_is(fields.key, "url"))
      new_url = json_string(fields.value);
    else
      problem(fields.key, "is not known; there is url");
  }
  if (fields.broken)
    problem(text_of(""), "must be a table of keys");
  if (!text_begins(new_url, "http://") && !text_begins(new_url, "https://"))
    problem(text_of("url"), "must be an address that starts with http:// or https://");
  else if (new_url.len > sizeof url)
    problem(text_of("url"), "is too long");
  if (problems.len == 0) {
    memcpy(url, new_url.ptr, new_url.len);
    url_len = new_url.len;
  } else {
    *err = problems;
  }
  memory_end_of_call();
  return problems.len == 0;
}

// -- the sink --------------------------------------------------------------------------

static struct text line(const exports_kennel_plugin_event_sink_event_t *event) {
  struct text service = event->service.is_some ? as_text(event->service.val) : text_of("-");
  struct text text = text_format("%d ", event->sequence, 0);
  text = text_append(text, as_text(event->kind));
  text = text_append(text_append(text, text_of(" ")), service);
  text = text_append(text_append(text, text_of(" ")), as_text(event->message));
  return text_append(text, text_of("\n"));
}

static event_sink_plugin_list_u8_t
lines(const exports_kennel_plugin_event_sink_list_event_t *events) {
  struct text *each = memory_take(events->len * sizeof *each);
  size_t length = 0;
  for (size_t i = 0; i < events->len; i++) {
    each[i] = line(&events->ptr[i]);
    length += each[i].len;
  }
  uint8_t *bytes = memory_take(length), *next = bytes;
  for (size_t i = 0; i < events->len; next += each[i++].len)
    memcpy(next, each[i].ptr, each[i].len);
  return (event_sink_plugin_list_u8_t){bytes, length};
}

static failure_t retry(struct text reason) {
  string message = as_string(text_join("events were not taken: ", reason));
  kennel_plugin_log_attributes_t no_fields = {0};
  kennel_plugin_log_write(KENNEL_PLUGIN_TYPES_SEVERITY_WARN, &message, &no_fields);
  return (failure_t){.tag = EXPORTS_KENNEL_PLUGIN_EVENT_SINK_FAILURE_RETRY_AFTER_MS,
                     .val.retry_after_ms = RETRY_MS};
}

static bool deliver(const exports_kennel_plugin_event_sink_batch_t *batch, uint32_t *ret,
                    failure_t *err) {
  event_sink_plugin_tuple2_string_string_t type = {
      as_string(text_of("content-type")), as_string(text_of("text/plain; charset=utf-8"))};
  kennel_plugin_probe_http_request_t request = {
      .method = as_string(text_of("POST")),
      .url = as_string((struct text){url, url_len}),
      .headers = {&type, 1},
      .body = lines(&batch->events),
  };
  kennel_plugin_probe_http_response_t answer;
  kennel_plugin_probe_probe_error_t error;
  if (!kennel_plugin_probe_http(&request, &answer, &error)) {
    *err = retry(text_of("no answer"));
    return false;
  }
  if (answer.status >= 200 && answer.status < 300) {
    *ret = batch->events.len;
    return true;
  }
  struct text status = text_format("HTTP %d", answer.status, 0);
  // These will be refused tomorrow too.
  if (answer.status == 400 || answer.status == 413 || answer.status == 422)
    *err = (failure_t){.tag = EXPORTS_KENNEL_PLUGIN_EVENT_SINK_FAILURE_REJECT,
                       .val.reject = as_string(status)};
  else
    *err = retry(status);
  return false;
}

// Handed events in order. What it does not take comes again.
bool exports_kennel_plugin_event_sink_deliver(exports_kennel_plugin_event_sink_batch_t *batch,
                                              uint32_t *ret, failure_t *err) {
  bool taken = deliver(batch, ret, err);
  memory_end_of_call();
  return taken;
}
