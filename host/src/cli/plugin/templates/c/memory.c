// An arena in place of malloc: a plugin is called, answers, and needs nothing of it again.

#include "memory.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 16
#define PAGE 65536

extern unsigned char __heap_base;

// Each block has its size before it, for realloc.
struct block {
  size_t size;
  _Alignas(ALIGNMENT) unsigned char bytes[];
};

static uintptr_t next;
static bool call_has_ended;

void memory_end_of_call(void) { call_has_ended = true; }

void *memory_take(size_t size) {
  if (next == 0 || call_has_ended)
    next = ((uintptr_t)&__heap_base + ALIGNMENT - 1) & -(uintptr_t)ALIGNMENT;
  call_has_ended = false;
  struct block *block = (struct block *)next;
  size_t needed = sizeof *block + ((size + ALIGNMENT - 1) & -(size_t)ALIGNMENT);
  size_t there = __builtin_wasm_memory_size(0) * PAGE;
  if (size > SIZE_MAX / 2 || needed > SIZE_MAX / 2 - next)
    abort();
  if (next + needed > there) {
    size_t pages = (next + needed - there + PAGE - 1) / PAGE;
    if (__builtin_wasm_memory_grow(0, pages) == (size_t)-1)
      abort();
  }
  next += needed;
  block->size = size;
  return memset(block->bytes, 0, size);
}

// What the bindings call.

void *malloc(size_t size) { return memory_take(size); }

void *realloc(void *old, size_t size) {
  void *new = memory_take(size);
  if (old != NULL) {
    struct block *block = (struct block *)((unsigned char *)old - offsetof(struct block, bytes));
    memcpy(new, old, block->size < size ? block->size : size);
  }
  return new;
}

void free(void *old) { (void)old; }

_Noreturn void abort(void) { __builtin_trap(); }

size_t strlen(const char *text) {
  size_t length = 0;
  while (text[length] != 0)
    length++;
  return length;
}

// One instruction each.

void *memcpy(void *to, const void *from, size_t size) {
  return __builtin_memcpy(to, from, size);
}

void *memset(void *to, int value, size_t size) { return __builtin_memset(to, value, size); }
