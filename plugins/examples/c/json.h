// As much JSON as a plugin needs: the fields of one object, one after the other.

#ifndef JSON_H
#define JSON_H

#include "text.h"

struct json_fields {
  struct text rest;
  bool begun;
  // Whether the document is no object, or breaks off.
  bool broken;
  // The present field: its name, and its value as it stands there.
  struct text key;
  struct text value;
};

static inline struct json_fields json_fields(struct text document) {
  return (struct json_fields){.rest = document};
}

static inline void json_skip(struct text *text, size_t count) {
  text->ptr += count;
  text->len -= count;
}

static inline void json_skip_space(struct text *text) {
  while (text->len > 0 && (*text->ptr == ' ' || *text->ptr == '\n' || *text->ptr == '\r' ||
                           *text->ptr == '\t'))
    json_skip(text, 1);
}

// Passes `letter`, with the space around it, if it comes next.
static inline bool json_pass(struct text *text, char letter) {
  json_skip_space(text);
  if (text->len == 0 || *text->ptr != letter)
    return false;
  json_skip(text, 1);
  json_skip_space(text);
  return true;
}

// Takes one value from the front of `text`; empty if there is none that ends.
static inline struct text json_take_value(struct text *text) {
  struct text start = *text;
  size_t depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < start.len; i++) {
    char letter = start.ptr[i];
    if (in_string) {
      if (letter == '\\')
        i++;
      else if (letter == '"')
        in_string = false;
    } else if (letter == '"') {
      in_string = true;
    } else if (letter == '{' || letter == '[') {
      depth++;
    } else if (depth == 0 && (letter == ',' || letter == '}' || letter == ']')) {
      json_skip(text, i);
      while (i > 0 && (start.ptr[i - 1] == ' ' || start.ptr[i - 1] == '\n' ||
                       start.ptr[i - 1] == '\r' || start.ptr[i - 1] == '\t'))
        i--;
      return (struct text){start.ptr, i};
    } else if (letter == '}' || letter == ']') {
      depth--;
    }
  }
  return (struct text){0};
}

// The content of a string without escapes; empty if it is something else.
static inline struct text json_string(struct text value) {
  if (value.len < 2 || value.ptr[0] != '"' || value.ptr[value.len - 1] != '"')
    return (struct text){0};
  for (size_t i = 1; i + 1 < value.len; i++)
    if (value.ptr[i] == '\\' || value.ptr[i] == '"')
      return (struct text){0};
  return (struct text){value.ptr + 1, value.len - 2};
}

// Whether `value` is a whole number that a double can tell from its neighbours, and which.
static inline bool json_whole(struct text value, int64_t *number) {
  bool negative = value.len > 0 && *value.ptr == '-';
  if (negative)
    json_skip(&value, 1);
  if (value.len == 0 || value.len > 15)
    return false;
  *number = 0;
  for (size_t i = 0; i < value.len; i++) {
    if (value.ptr[i] < '0' || value.ptr[i] > '9')
      return false;
    *number = *number * 10 + (value.ptr[i] - '0');
  }
  if (negative)
    *number = -*number;
  return true;
}

// Goes to the next field; false at the end, or when the document is broken.
static inline bool json_next(struct json_fields *fields) {
  bool first = !fields->begun;
  fields->begun = true;
  bool opened = !first || json_pass(&fields->rest, '{');
  if (opened && json_pass(&fields->rest, '}')) {
    fields->broken = fields->rest.len > 0;
    return false;
  }
  fields->broken = true;
  if (!opened || (!first && !json_pass(&fields->rest, ',')))
    return false;
  json_skip_space(&fields->rest);
  struct text name = fields->rest;
  size_t length = 0;
  // A name ends where ":" follows outside of the quotes.
  while (length < name.len && !(length > 0 && name.ptr[length] == '"'))
    length += name.ptr[length] == '\\' ? 2 : 1;
  if (length == 0 || length >= name.len || name.ptr[0] != '"')
    return false;
  fields->key = (struct text){name.ptr + 1, length - 1};
  json_skip(&fields->rest, length + 1);
  if (!json_pass(&fields->rest, ':'))
    return false;
  fields->value = json_take_value(&fields->rest);
  fields->broken = fields->value.len == 0;
  return !fields->broken;
}

#endif
