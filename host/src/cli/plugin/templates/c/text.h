// Pieces of text, without a terminating zero.

#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "memory.h"

struct text {
  const char *ptr;
  size_t len;
};

static inline struct text text_of(const char *literal) {
  return (struct text){literal, strlen(literal)};
}

static inline bool text_begins(struct text text, const char *with) {
  size_t length = strlen(with);
  for (size_t i = 0; i < length; i++)
    if (i >= text.len || text.ptr[i] != with[i])
      return false;
  return true;
}

static inline bool text_is(struct text text, const char *literal) {
  return text.len == strlen(literal) && text_begins(text, literal);
}

static inline struct text text_append(struct text first, struct text second) {
  char *bytes = memory_take(first.len + second.len);
  memcpy(bytes, first.ptr, first.len);
  memcpy(bytes + first.len, second.ptr, second.len);
  return (struct text){bytes, first.len + second.len};
}

static inline struct text text_join(const char *first, struct text second) {
  return text_append(text_of(first), second);
}

// Writes `number` at `to`; how many letters it has. 20 are enough.
static inline size_t text_put_number(char *to, int64_t number) {
  char reversed[20];
  size_t digits = 0, length = 0;
  uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
  do
    reversed[digits++] = '0' + rest % 10;
  while (rest /= 10);
  if (number < 0)
    to[length++] = '-';
  while (digits > 0)
    to[length++] = reversed[--digits];
  return length;
}

// `format` with up to two "%d".
static inline struct text text_format(const char *format, int64_t first, int64_t second) {
  char *bytes = memory_take(strlen(format) + 40);
  size_t length = 0;
  for (; *format != 0; format++) {
    if (format[0] == '%' && format[1] == 'd') {
      length += text_put_number(bytes + length, first);
      first = second;
      format++;
    } else {
      bytes[length++] = *format;
    }
  }
  return (struct text){bytes, length};
}

#endif
